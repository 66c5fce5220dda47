-- One row per performed procedure.
with source_rows as (
    select * from {{ source('ehr', 'procedures') }}
),

final as (
    select
        procedure_id as procedure_key,
        hospital_id as hospital_key,
        patient_id as registration_key,
        ed_visit_id as ed_visit_key,
        encounter_id as encounter_key,
        procedure_code,
        cast(performed_at as timestamp) as performed_at
    from source_rows
    where deleted_at is null
)

select * from final
