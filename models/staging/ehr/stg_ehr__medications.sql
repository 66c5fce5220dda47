-- One row per administered medication.
with source_rows as (
    select * from {{ source('ehr', 'medications') }}
),

final as (
    select
        medication_id as medication_key,
        hospital_id as hospital_key,
        patient_id as registration_key,
        ed_visit_id as ed_visit_key,
        encounter_id as encounter_key,
        medication_code,
        dose_unit_code,
        route_code,
        dose,
        cast(administered_at as timestamp) as administered_at
    from source_rows
    where deleted_at is null
)

select * from final
