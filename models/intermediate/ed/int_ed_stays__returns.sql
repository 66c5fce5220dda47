-- One row per index stay, with the stay that is its return; null where there is none.
--
-- Departures of index stays and arrivals of possible returns lie on one line of time per person. An
-- arrival closes a group: the departures before it, back to the arrival before that, all look
-- forward to it, and the latest of them keeps it.
with stays as (
    select * from {{ ref('int_ed_stays__outcomes') }}
),

events as (
    -- An arrival at the very instant of a departure comes before it: it is no return.
    select
        person_key,
        stay_key,
        stay_key as index_visit_key,
        0 as event_order,
        started_at as happened_at,
        started_at as index_arrived_at
    from stays
    where is_return_candidate
    union all
    select
        person_key,
        stay_key,
        index_visit_key,
        1 as event_order,
        index_departed_at as happened_at,
        index_arrived_at
    from stays
    where is_index
),

grouped as (
    select
        *,
        count(case when event_order = 0 then 1 end) over (
            partition by person_key
            order by
                happened_at desc nulls last,
                event_order desc,
                stay_key desc
            rows between unbounded preceding and current row
        ) as arrivals_from_here_count
    from events
),

paired as (
    select
        stay_key,
        event_order,
        max(case when event_order = 0 then stay_key end) over (
            partition by person_key, arrivals_from_here_count
        ) as return_stay_key,
        row_number() over (
            partition by person_key, arrivals_from_here_count, event_order
            order by
                happened_at desc nulls last,
                index_arrived_at desc nulls last,
                index_visit_key desc
        ) as lateness_rank
    from grouped
),

final as (
    select
        stay_key,
        case when lateness_rank = 1 then return_stay_key end as return_stay_key
    from paired
    where event_order = 1
)

select * from final
