-- One row per hospital, half-year and stratum of the declared model that has index visits: those of
-- the headline measure, and how many of them it counts. Whole figures.
--
-- Age and acuity are those of the index visit: what came later may not explain the return.
with measured_returns as (
    select * from {{ ref('fct_ed_measured_returns') }}
),

headline as (
    select measure_code
    from {{ ref('ed_return_measures') }}
    where is_headline
),

returns as (
    select * from {{ ref('fct_ed_returns') }}
),

visits as (
    select * from {{ ref('fct_ed_visits') }}
),

strata as (
    select
        *,
        coalesce(maximum_age_years, 1000) as last_age_years
    from {{ ref('ed_standard_strata') }}
),

-- A few thousand rows, before the join by ranges.
mix as (
    select
        measured_returns.hospital_key,
        measured_returns.measure_code,
        returns.index_age_years,
        visits.acuity_code,
        count(case when measured_returns.is_counted then 1 end) as numerator_count,
        count(*) as index_visits_count,
        {{ half_year_of("measured_returns.index_month_on") }} as period_on
    from measured_returns
    inner join headline on measured_returns.measure_code = headline.measure_code
    inner join returns on measured_returns.index_visit_key = returns.index_visit_key
    inner join visits on measured_returns.index_visit_key = visits.ed_visit_key
    group by
        measured_returns.hospital_key,
        measured_returns.measure_code,
        returns.index_age_years,
        visits.acuity_code,
        period_on
),

-- The same as those of the monthly counts.
periods as (
    select distinct
        hospital_key,
        {{ half_year_of("leg_arrived_month_on") }} as period_on
    from visits
    where not is_duplicate_registration and leg_arrived_month_on is not null
),

final as (
    select
        periods.hospital_key,
        mix.measure_code,
        strata.stratum_code,
        cast(sum(mix.numerator_count) as bigint) as numerator_count,
        cast(sum(mix.index_visits_count) as bigint) as index_visits_count,
        periods.period_on
    from mix
    inner join periods
        on mix.hospital_key = periods.hospital_key and mix.period_on = periods.period_on
    inner join strata
        on
            (
                mix.index_age_years between strata.minimum_age_years and strata.last_age_years
                and mix.acuity_code between strata.lowest_acuity_code
                and strata.highest_acuity_code
            )
            or (
                strata.is_rest
                -- A date of birth after the visit makes an age below nothing.
                and (
                    mix.index_age_years is null
                    or mix.index_age_years < 0
                    or mix.acuity_code is null
                )
            )
    group by periods.hospital_key, mix.measure_code, strata.stratum_code, periods.period_on
)

select * from final
