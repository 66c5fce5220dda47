-- One row per index stay, with the stay that is its return; null where there is none.
--
-- Departures of index stays and arrivals of possible returns lie on one line of time per person. A
-- departure that an arrival follows directly has it as its return; where another departure comes in
-- between, that one has it.
{{ config(materialized='view') }}

with stays as (
    select * from {{ ref('int_ed_stays__outcomes') }}
),

events as (
    -- An arrival at the very instant of a departure comes before it: it is no return.
    select
        person_key,
        stay_key,
        stay_key as visit_key,
        0 as event_order,
        started_at as happened_at,
        started_at as arrived_at
    from stays
    where is_return_candidate
    union all
    -- Of two departures at one instant the later arrival is the later stay.
    select
        person_key,
        stay_key,
        index_visit_key as visit_key,
        1 as event_order,
        index_departed_at as happened_at,
        index_arrived_at as arrived_at
    from stays
    where is_index
),

followed as (
    select
        stay_key,
        event_order,
        lead(case when event_order = 0 then stay_key end) over (
            partition by person_key
            order by
                happened_at asc nulls last,
                event_order asc,
                arrived_at asc nulls last,
                visit_key asc
        ) as return_stay_key
    from events
),

final as (
    select
        stay_key,
        return_stay_key
    from followed
    where event_order = 1
)

select * from final
