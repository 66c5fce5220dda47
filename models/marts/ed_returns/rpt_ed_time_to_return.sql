-- One row per hospital, half-year with ED visits and day after departure, 1 to 30: how many
-- index visits wait for an end, and which ends the day brings.
--
-- Day 1 is the first 24 hours, so that days 1 to 3 are the 72 hours of the headline measure. The
-- first end counts: a return, or death. A visit counts in a day only where the data reach to the
-- end of that day, whether or not an end is seen, and for the dead as for the living: else the last
-- days of the data would show ends and nobody who waits.
{%- set last_day = 30 -%}
{%- set days = [] -%}
{%- for day in range(1, last_day + 1) %}{% do days.append([day]) %}{% endfor %}
with returns as (
    select * from {{ ref('fct_ed_returns') }}
),

visits as (
    select * from {{ ref('fct_ed_visits') }}
    where not is_duplicate_registration and leg_arrived_month_on is not null
),

hospitals as (
    select * from {{ ref('dim_hospitals') }}
),

patients as (
    select * from {{ ref('dim_patients') }}
),

snapshots as (
    select * from {{ ref('dim_snapshots') }}
),

days as (
    {{ typed_rows({"day_number": "int"}, days) }}
),

dated as (
    select
        returns.*,
        patients.deceased_on,
        -- Dates on the hospital's clock are dear, and only those of the dead are looked at.
        case
            when patients.deceased_on is not null
                then cast({{ to_local(
                    "returns.index_departed_at", "hospitals.time_zone"
                ) }} as date)
        end as departed_on,
        case
            when patients.deceased_on is not null
                then cast({{ to_local(
                    "returns.return_arrived_at", "hospitals.time_zone"
                ) }} as date)
        end as returned_on,
        coalesce({{ completed_seconds(
            "returns.index_departed_at", "snapshots.data_through_at"
        ) }}, 0) as seen_seconds
    from returns
    inner join hospitals on returns.hospital_key = hospitals.hospital_key
    left join patients on returns.person_key = patients.person_key
    cross join snapshots
),

-- Of a death only the date is known. Who returned on that date returned first; a date before the
-- departure is a mistake and ends nothing.
ended as (
    select
        hospital_key,
        {{ half_year_of("index_month_on") }} as period_on,
        case
            when deceased_on >= departed_on and (returned_on is null or deceased_on < returned_on)
                then {{ day_diff("departed_on", "deceased_on") }} + 1
            else {{ whole_quotient("elapsed_seconds + 86399", 86400) }}
        end as end_day,
        case
            when deceased_on >= departed_on and (returned_on is null or deceased_on < returned_on)
                then 'died'
            when return_outcome_code in ('admitted', 'unknown') then return_outcome_code
            else 'other'
        end as end_code,
        greatest({{ whole_quotient("seen_seconds", 86400) }}, 0) as seen_days
    from dated
),

-- One row per hospital, half-year and way out, with the day of it; a day after the last one stands
-- for those who are still waiting then.
counted as (
    select
        hospital_key,
        period_on,
        case when end_day <= seen_days then end_code else 'lost' end as exit_code,
        least(coalesce(end_day, seen_days + 1), seen_days + 1, {{ last_day + 1 }}) as exit_day,
        count(*) as visits_count
    from ended
    group by hospital_key, period_on, exit_code, exit_day
),

periods as (
    select distinct
        hospital_key,
        {{ half_year_of("leg_arrived_month_on") }} as period_on
    from visits
),

final as (
    select
        periods.hospital_key,
        days.day_number,
        cast(sum(
            case
                when counted.exit_day > days.day_number then counted.visits_count
                when counted.exit_day = days.day_number and counted.exit_code != 'lost'
                    then counted.visits_count
                else 0
            end
        ) as bigint) as at_risk_count,
        {%- for code, name in [
            ("admitted", "admitted_returns_count"),
            ("other", "other_returns_count"),
            ("unknown", "unknown_returns_count"),
            ("died", "deaths_count"),
            ("lost", "lost_count"),
        ] %}
            cast(sum(
                case
                    when counted.exit_day = days.day_number and counted.exit_code = '{{ code }}'
                        then counted.visits_count
                    else 0
                end
            ) as bigint) as {{ name }},
        {%- endfor %}
        periods.period_on,
        max(snapshots.data_through_at) as data_through_at
    from periods
    cross join days
    cross join snapshots
    left join counted
        on
            periods.hospital_key = counted.hospital_key
            and periods.period_on = counted.period_on
    group by periods.hospital_key, days.day_number, periods.period_on
)

select * from final
