-- One row per hospital, half-year with ED visits and day after departure, 1 to 30: how many
-- index visits wait for an end, and which ends the day brings.
{%- set last_day = 30 -%}
{%- set days = [] -%}
{%- for day in range(1, last_day + 1) %}{% do days.append([day]) %}{% endfor %}
with ends as (
    select * from {{ ref('int_ed_index_visits__ends') }}
),

visits as (
    select * from {{ ref('fct_ed_visits') }}
    where not is_duplicate_registration and leg_arrived_month_on is not null
),

snapshots as (
    select * from {{ ref('dim_snapshots') }}
),

days as (
    {{ typed_rows({"day_number": "int"}, days) }}
),

-- One row per hospital, half-year and way out, with the day of it; a day after the last one stands
-- for those who are still waiting then.
counted as (
    select
        hospital_key,
        period_on,
        exit_code,
        least(exit_day, {{ last_day + 1 }}) as exit_day,
        count(*) as visits_count
    from ends
    group by hospital_key, period_on, exit_code, least(exit_day, {{ last_day + 1 }})
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
