-- One row per hospital, month, interval and disposition (`all`: of every visit): how long it took.
--
-- The median and the 90th percentile are values that occurred: the smallest that half, or nine in
-- ten, of the measured visits do not exceed (nearest rank). visits_count counts the visits without
-- a measurement, too.
with visits as (
    select * from {{ ref('int_ed_flow__visits') }}
),

measured as (
    select
        hospital_key,
        'length_of_stay' as interval_code,
        'all' as disposition_code,
        length_of_stay_minutes as minutes,
        month_on
    from visits
    union all
    select
        hospital_key,
        'length_of_stay' as interval_code,
        coalesce(disposition_code, 'not_recorded') as disposition_code,
        length_of_stay_minutes as minutes,
        month_on
    from visits
    union all
    select
        hospital_key,
        'arrival_to_triage' as interval_code,
        'all' as disposition_code,
        arrival_to_triage_minutes as minutes,
        month_on
    from visits
    union all
    select
        hospital_key,
        'triage_to_physician' as interval_code,
        'all' as disposition_code,
        triage_to_physician_minutes as minutes,
        month_on
    from visits
    union all
    select
        hospital_key,
        'boarding' as interval_code,
        'all' as disposition_code,
        boarding_minutes as minutes,
        month_on
    from visits
    where is_admission
),

ranked as (
    select
        *,
        row_number() over (
            partition by hospital_key, interval_code, disposition_code, month_on
            order by minutes asc nulls last
        ) as minutes_rank,
        count(minutes) over (
            partition by hospital_key, interval_code, disposition_code, month_on
        ) as measured_count
    from measured
),

final as (
    select
        hospital_key,
        interval_code,
        disposition_code,
        count(*) as visits_count,
        max(measured_count) as measured_count,
        min(case when minutes_rank * 2 >= measured_count then minutes end) as median_minutes,
        min(case when minutes_rank * 10 >= measured_count * 9 then minutes end) as p90_minutes,
        month_on
    from ranked
    group by hospital_key, interval_code, disposition_code, month_on
)

select * from final
