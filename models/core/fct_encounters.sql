-- One row per encounter: every ED registration and every inpatient stay.
with visits as (
    select * from {{ ref('fct_ed_visits') }}
),

inpatient_encounters as (
    select * from {{ ref('stg_ehr__inpatient_encounters') }}
),

registrations as (
    select * from {{ ref('int_registrations__persons') }}
),

diagnoses as (
    select * from {{ ref('int_inpatient_encounters__main_diagnoses') }}
),

final as (
    select
        ed_visit_key as encounter_key,
        person_key,
        registration_key,
        hospital_key,
        provider_key,
        ed_visit_key,
        'emergency' as encounter_class_code,
        disposition_code,
        main_diagnosis_code,
        arrived_at as started_at,
        departed_at as ended_at
    from visits
    union all
    select
        inpatient_encounters.encounter_key,
        registrations.person_key,
        inpatient_encounters.registration_key,
        inpatient_encounters.hospital_key,
        inpatient_encounters.provider_key,
        visits.ed_visit_key,
        'inpatient' as encounter_class_code,
        inpatient_encounters.discharge_disposition_code as disposition_code,
        diagnoses.main_diagnosis_code,
        inpatient_encounters.admitted_at as started_at,
        inpatient_encounters.discharged_at as ended_at
    from inpatient_encounters
    left join registrations
        on inpatient_encounters.registration_key = registrations.registration_key
    -- Not every visit it names is there: some are deleted or in quarantine.
    left join visits on inpatient_encounters.ed_visit_key = visits.ed_visit_key
    left join diagnoses on inpatient_encounters.encounter_key = diagnoses.encounter_key
)

select * from final
