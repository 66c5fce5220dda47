-- One row per hospital, month with ED visits and measure, zeros included.
--
-- Both denominators follow the measure's follow-up rule, as its numerator does. is_suppressed says
-- that the network's version must hide it: a count, or a difference of two, lies between 1 and 10.
with measured_returns as (
    select * from {{ ref('fct_ed_measured_returns') }}
),

-- The visits of fct_ed_visits without its double registrations, of which each leg is one.
visits as (
    select * from {{ ref('int_ed_legs__stays') }}
    where arrived_month_on is not null
),

measures as (
    select
        *,
        window_hours * 3600 as window_seconds
    from {{ ref('ed_return_measures') }}
),

snapshots as (
    select * from {{ ref('dim_snapshots') }}
),

-- Many measures have one window: each is counted once.
windows as (
    select distinct
        window_seconds,
        requires_complete_follow_up
    from measures
),

window_counts as (
    select
        visits.hospital_key,
        windows.window_seconds,
        windows.requires_complete_follow_up,
        visits.arrived_month_on as month_on,
        count(
            case
                when
                    coalesce(visits.follow_up_seconds >= windows.window_seconds, true)
                    or not windows.requires_complete_follow_up
                    then 1
            end
        ) as all_visits_count
    from visits
    cross join windows
    group by
        visits.hospital_key,
        windows.window_seconds,
        windows.requires_complete_follow_up,
        visits.arrived_month_on
),

visit_counts as (
    select
        window_counts.hospital_key,
        measures.measure_code,
        window_counts.month_on,
        window_counts.all_visits_count
    from window_counts
    inner join measures
        on
            window_counts.window_seconds = measures.window_seconds
            and window_counts.requires_complete_follow_up = measures.requires_complete_follow_up
),

index_counts as (
    select
        hospital_key,
        measure_code,
        index_month_on as month_on,
        count(case when is_counted then 1 end) as numerator_count,
        count(*) as index_visits_count
    from measured_returns
    group by hospital_key, measure_code, index_month_on
),

counts as (
    select
        visit_counts.hospital_key,
        visit_counts.measure_code,
        coalesce(index_counts.numerator_count, 0) as numerator_count,
        coalesce(index_counts.index_visits_count, 0) as index_visits_count,
        visit_counts.all_visits_count,
        visit_counts.month_on
    from visit_counts
    left join index_counts
        on
            visit_counts.hospital_key = index_counts.hospital_key
            and visit_counts.measure_code = index_counts.measure_code
            and visit_counts.month_on = index_counts.month_on
),

final as (
    select
        counts.hospital_key,
        counts.measure_code,
        counts.numerator_count,
        counts.index_visits_count,
        counts.all_visits_count,
        counts.numerator_count between 1 and 10
        or counts.index_visits_count between 1 and 10
        or counts.all_visits_count between 1 and 10
        or counts.index_visits_count - counts.numerator_count between 1 and 10
        or counts.all_visits_count - counts.numerator_count between 1 and 10
        or counts.all_visits_count - counts.index_visits_count between 1 and 10 as is_suppressed,
        counts.month_on,
        snapshots.data_through_at
    from counts
    cross join snapshots
)

select * from final
