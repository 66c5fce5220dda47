-- One row per leg: how it ended, how old the person was, and for how long after its departure the
-- data are complete; null means for ever, because the person died.
-- A view, like every step that one table alone is made of.
{{ config(materialized='view') }}

with legs as (
    select * from {{ ref('int_ed_legs__outcomes') }}
),

persons as (
    select * from {{ ref('int_persons__attributes') }}
),

completeness as (
    select * from {{ ref('int_snapshots__completeness') }}
),

judged as (
    select
        legs.*,
        persons.birth_on,
        completeness.data_through_at,
        legs.is_death
        or coalesce(
            cast({{ add_days("persons.deceased_on", 1) }} as timestamp)
            <= completeness.data_through_at,
            false
        ) as is_dead
    from legs
    cross join completeness
    left join persons on legs.person_key = persons.person_key
),

final as (
    select
        leg_key,
        person_key,
        hospital_key,
        lone_key,
        last_visit_key,
        complaint_code,
        disposition_code,
        main_diagnosis_code,
        exclusion_code,
        {{ completed_years("birth_on", "arrived_on") }} as age_years,
        -- Without a known end of the data nothing has been followed for any time.
        case
            when not is_dead
                then coalesce({{ completed_seconds("departed_at", "data_through_at") }}, 0)
        end as follow_up_seconds,
        is_planned,
        is_departure_known,
        can_be_index,
        can_be_return,
        is_admission,
        is_transfer,
        {{ month_of("arrived_on") }} as arrived_month_on,
        arrived_at,
        departed_at
    from judged
)

select * from final
