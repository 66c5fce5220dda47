-- One row per stay that led to an inpatient encounter with a main discharge diagnosis: that of the
-- first such encounter.
{{ config(materialized='view') }}

with registrations as (
    select * from {{ ref('int_ed_visits__legs') }}
),

legs as (
    select * from {{ ref('int_ed_legs__stays') }}
),

encounters as (
    select * from {{ ref('stg_ehr__inpatient_encounters') }}
),

diagnoses as (
    select * from {{ ref('int_inpatient_encounters__main_diagnoses') }}
),

final as (
    select
        legs.stay_key,
        diagnoses.main_diagnosis_code as discharge_diagnosis_code
    from encounters
    inner join registrations on encounters.ed_visit_key = registrations.ed_visit_key
    inner join legs on registrations.leg_key = legs.leg_key
    inner join diagnoses on encounters.encounter_key = diagnoses.encounter_key
    qualify row_number() over (
        partition by legs.stay_key
        order by encounters.admitted_at asc nulls last, encounters.encounter_key asc
    ) = 1
)

select * from final
