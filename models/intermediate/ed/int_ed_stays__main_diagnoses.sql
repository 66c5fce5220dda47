-- One row per stay that has a main diagnosis: the discharge diagnosis of the first inpatient
-- encounter it led to, else the ED diagnosis of the last leg that has one.
{{ config(materialized='view') }}

with registrations as (
    select * from {{ ref('int_ed_visits__legs') }}
),

legs as (
    select * from {{ ref('int_ed_legs__stays') }}
),

leg_diagnoses as (
    select * from {{ ref('int_ed_legs__main_diagnoses') }}
),

encounters as (
    select * from {{ ref('stg_ehr__inpatient_encounters') }}
),

inpatient_diagnoses as (
    select * from {{ ref('int_inpatient_encounters__main_diagnoses') }}
),

discharge_diagnoses as (
    select
        legs.stay_key,
        inpatient_diagnoses.main_diagnosis_code
    from encounters
    inner join registrations on encounters.ed_visit_key = registrations.ed_visit_key
    inner join legs on registrations.leg_key = legs.leg_key
    inner join inpatient_diagnoses on encounters.encounter_key = inpatient_diagnoses.encounter_key
    qualify row_number() over (
        partition by legs.stay_key
        order by encounters.admitted_at asc nulls last, encounters.encounter_key asc
    ) = 1
),

ed_diagnoses as (
    select
        legs.stay_key,
        leg_diagnoses.main_diagnosis_code
    from legs
    inner join leg_diagnoses on legs.leg_key = leg_diagnoses.leg_key
    qualify row_number() over (
        partition by legs.stay_key
        order by legs.arrived_at desc nulls last, legs.leg_key desc
    ) = 1
),

final as (
    select
        coalesce(discharge_diagnoses.stay_key, ed_diagnoses.stay_key) as stay_key,
        coalesce(
            discharge_diagnoses.main_diagnosis_code, ed_diagnoses.main_diagnosis_code
        ) as main_diagnosis_code
    from discharge_diagnoses
    full outer join ed_diagnoses on discharge_diagnoses.stay_key = ed_diagnoses.stay_key
)

select * from final
