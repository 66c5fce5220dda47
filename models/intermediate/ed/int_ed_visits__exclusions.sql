-- One row per ED registration: its leg and stay, and why it is no index visit (null where it is
-- one). The first reason that applies is given.
{{ config(materialized='view') }}

with registrations as (
    select * from {{ ref('int_ed_visits__legs') }}
),

legs as (
    select * from {{ ref('int_ed_legs__stays') }}
),

final as (
    select
        registrations.ed_visit_key,
        registrations.leg_key,
        legs.stay_key,
        registrations.person_key,
        registrations.main_diagnosis_code,
        case
            when registrations.leaving_rank > 1 then 'duplicate_registration'
            when registrations.arrived_at is null then 'no_arrival'
            when not legs.is_last_leg then 'not_last_leg'
            when registrations.person_key is null then 'unlinkable'
            when legs.is_stay_planned then 'planned'
            when not legs.can_be_index then legs.exclusion_code
            when not legs.is_departure_known then 'no_departure'
        end as index_exclusion_reason,
        legs.follow_up_seconds,
        registrations.is_planned,
        registrations.is_departure_known,
        registrations.is_departure_imputed,
        registrations.effective_departed_at,
        {{ month_of("registrations.arrived_on") }} as arrived_month_on,
        legs.arrived_month_on as leg_arrived_month_on
    from registrations
    inner join legs on registrations.leg_key = legs.leg_key
)

select * from final
