-- Fails where the first days of rpt_ed_time_to_return hold other admitted returns than the headline
-- measure counts for the same hospital and half-year. Both go their own way from fct_ed_returns:
-- one by days and ends, the other by windows.
--
-- Says nothing of half-years in which a visit is not followed for the window or a return is open:
-- there the curve holds visits that the measure leaves out.
with days as (
    select * from {{ ref('rpt_ed_time_to_return') }}
),

months as (
    select * from {{ ref('rpt_ed_returns_monthly') }}
),

headline as (
    select
        measure_code,
        window_hours
    from {{ ref('ed_return_measures') }}
    where is_headline and requires_admission and window_hours % 24 = 0
),

curves as (
    select
        days.hospital_key,
        days.period_on,
        headline.measure_code,
        sum(days.admitted_returns_count) as curve_count
    from days
    cross join headline
    where days.day_number * 24 <= headline.window_hours
    group by days.hospital_key, days.period_on, headline.measure_code
    having sum(days.lost_count) = 0 and sum(days.unknown_returns_count) = 0
),

measured as (
    select
        hospital_key,
        {{ half_year_of("month_on") }} as period_on,
        measure_code,
        sum(numerator_count) as measured_count
    from months
    group by hospital_key, period_on, measure_code
)

select
    curves.hospital_key,
    curves.period_on,
    curves.curve_count,
    measured.measured_count
from curves
inner join measured
    on
        curves.hospital_key = measured.hospital_key
        and curves.period_on = measured.period_on
        and curves.measure_code = measured.measure_code
where curves.curve_count != measured.measured_count
