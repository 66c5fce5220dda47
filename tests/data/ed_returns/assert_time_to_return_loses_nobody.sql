-- Fails where a day of rpt_ed_time_to_return does not begin with those whom the day before left
-- waiting, less the lost, or where day 1 does not begin with every index visit.
--
-- A visit that is in no row, or in two, moves the whole curve and shows in no single count.
with days as (
    select * from {{ ref('rpt_ed_time_to_return') }}
),

visits as (
    select
        hospital_key,
        {{ half_year_of("index_month_on") }} as period_on,
        count(*) as visits_count
    from {{ ref('fct_ed_returns') }}
    group by hospital_key, period_on
),

before as (
    select
        hospital_key,
        period_on,
        day_number + 1 as day_number,
        at_risk_count - admitted_returns_count - other_returns_count - unknown_returns_count
        - deaths_count as waiting_count
    from days
    union all
    select
        hospital_key,
        period_on,
        1 as day_number,
        visits_count as waiting_count
    from visits
)

select
    before.hospital_key,
    before.period_on,
    before.day_number,
    before.waiting_count,
    days.at_risk_count,
    days.lost_count
from before
left join days
    on
        before.hospital_key = days.hospital_key
        and before.period_on = days.period_on
        and before.day_number = days.day_number
where
    before.day_number <= 30
    and before.waiting_count is distinct from days.at_risk_count + days.lost_count
