-- One row per administered medication.
with medications as (
    select * from {{ ref('stg_ehr__medications') }}
),

registrations as (
    select * from {{ ref('int_registrations__persons') }}
),

encounters as (
    select * from {{ ref('fct_encounters') }}
),

final as (
    select
        medications.medication_key,
        encounters.encounter_key,
        registrations.person_key,
        medications.hospital_key,
        medications.medication_code,
        medications.dose_unit_code,
        medications.route_code,
        medications.dose,
        medications.administered_at
    from medications
    left join registrations on medications.registration_key = registrations.registration_key
    left join encounters
        on
            coalesce(medications.ed_visit_key, medications.encounter_key)
            = encounters.encounter_key
)

select * from final
