-- One row per administered medication.
with medications as (
    select * from {{ ref('stg_ehr__medications') }}
),

registrations as (
    select * from {{ ref('int_registrations__persons') }}
),

final as (
    select
        medications.medication_key,
        coalesce(medications.ed_visit_key, medications.encounter_key) as encounter_key,
        registrations.person_key,
        medications.hospital_key,
        medications.medication_code,
        medications.dose_unit_code,
        medications.route_code,
        medications.dose,
        medications.administered_at
    from medications
    left join registrations on medications.registration_key = registrations.registration_key
)

select * from final
