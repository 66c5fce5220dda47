-- One row per stay: how it began, how its last leg ended, and what it may be: index, return, both.
with legs as (
    select * from {{ ref('int_ed_legs__stays') }}
),

stays as (
    select
        stay_key,
        min(person_key) as person_key,
        min(case when leg_key = stay_key then hospital_key end) as hospital_key,
        min(case when is_last_leg then leg_key end) as last_leg_key,
        min(case when is_last_leg then hospital_key end) as last_hospital_key,
        min(case when is_last_leg then last_visit_key end) as index_visit_key,
        min(case when is_last_leg then disposition_code end) as last_disposition_code,
        min(case when is_last_leg then follow_up_seconds end) as follow_up_seconds,
        bool_or(leg_key = stay_key and is_planned) as is_planned,
        bool_or(is_admission) as is_admitted,
        bool_or(is_last_leg and can_be_index) as can_be_index,
        bool_or(is_last_leg and can_be_return) as can_be_return,
        bool_or(is_last_leg and is_departure_known) as is_departure_known,
        min(arrived_at) as started_at,
        min(case when is_last_leg then arrived_at end) as index_arrived_at,
        min(case when is_last_leg then departed_at end) as index_departed_at,
        min(case when is_last_leg then arrived_month_on end) as index_month_on
    from legs
    group by stay_key
),

final as (
    select
        stay_key,
        person_key,
        hospital_key,
        last_leg_key,
        last_hospital_key,
        index_visit_key,
        case
            when is_admitted then 'admitted'
            else coalesce(last_disposition_code, 'unknown')
        end as outcome_code,
        follow_up_seconds,
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
        index_departed_at,
        index_month_on
    from stays
)

select * from final
