-- One row per stay: how it began, how its last leg ended, and what it may be: index, return, both.
with legs as (
    select * from {{ ref('int_ed_legs__outcomes') }}
),

chains as (
    select * from {{ ref('int_ed_legs__stays') }}
),

stays as (
    select
        chains.stay_key,
        min(legs.person_key) as person_key,
        min(case when chains.is_last_leg then legs.leg_key end) as last_leg_key,
        min(case when chains.is_last_leg then legs.last_visit_key end) as index_visit_key,
        min(case when chains.is_last_leg then legs.disposition_code end) as last_disposition_code,
        bool_or(legs.leg_key = chains.stay_key and legs.is_planned) as is_planned,
        bool_or(legs.is_admission) as is_admitted,
        bool_or(chains.is_last_leg and legs.can_be_index) as can_be_index,
        bool_or(chains.is_last_leg and legs.can_be_return) as can_be_return,
        bool_or(chains.is_last_leg and legs.is_departure_known) as is_departure_known,
        min(legs.arrived_at) as started_at,
        min(case when chains.is_last_leg then legs.arrived_at end) as index_arrived_at,
        min(case when chains.is_last_leg then legs.departed_at end) as index_departed_at
    from chains
    inner join legs on chains.leg_key = legs.leg_key
    group by chains.stay_key
),

final as (
    select
        stay_key,
        person_key,
        last_leg_key,
        index_visit_key,
        case
            when is_admitted then 'admitted'
            else coalesce(last_disposition_code, 'unknown')
        end as outcome_code,
        is_planned,
        is_admitted,
        is_departure_known,
        person_key is not null
        and started_at is not null
        and not is_planned
        and can_be_index
        and is_departure_known as is_index,
        person_key is not null
        and started_at is not null
        and not is_planned
        and can_be_return as is_return_candidate,
        started_at,
        index_arrived_at,
        index_departed_at
    from stays
)

select * from final
