-- One row per inpatient encounter.
with source_rows as (
    select * from {{ source('ehr', 'inpatient_encounters') }}
),

final as (
    select
        encounter_id as encounter_key,
        hospital_id as hospital_key,
        patient_id as registration_key,
        ed_visit_id as ed_visit_key,
        provider_id as provider_key,
        admission_type_code,
        discharge_disposition_code,
        cast(admitted_at as timestamp) as admitted_at,
        cast(discharged_at as timestamp) as discharged_at
    from source_rows
    where deleted_at is null
)

select * from final
