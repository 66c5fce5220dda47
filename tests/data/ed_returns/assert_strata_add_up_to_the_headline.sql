-- Fails where the strata of a hospital's half-year do not add up to its months of the headline
-- measure: a visit falls into no stratum, or into two. The published reference rests on it: its
-- totals must be those that are published.
with strata as (
    select
        hospital_key,
        measure_code,
        period_on,
        sum(numerator_count) as numerator_count,
        sum(index_visits_count) as index_visits_count
    from {{ ref('rpt_ed_returns_by_stratum') }}
    group by hospital_key, measure_code, period_on
),

headline as (
    select measure_code
    from {{ ref('ed_return_measures') }}
    where is_headline
),

months as (
    select
        months.hospital_key,
        months.measure_code,
        {{ half_year_of("months.month_on") }} as period_on,
        sum(months.numerator_count) as numerator_count,
        sum(months.index_visits_count) as index_visits_count
    from {{ ref('rpt_ed_returns_monthly') }} as months
    inner join headline on months.measure_code = headline.measure_code
    group by months.hospital_key, months.measure_code, period_on
)

select
    coalesce(months.hospital_key, strata.hospital_key) as hospital_key,
    coalesce(months.period_on, strata.period_on) as period_on,
    months.index_visits_count as index_visits_of_months,
    strata.index_visits_count as index_visits_of_strata
from months
full outer join strata
    on
        months.hospital_key = strata.hospital_key
        and months.measure_code = strata.measure_code
        and months.period_on = strata.period_on
where
    coalesce(months.numerator_count, 0) <> coalesce(strata.numerator_count, 0)
    or coalesce(months.index_visits_count, 0) <> coalesce(strata.index_visits_count, 0)
