-- One row per registration of a patient at one hospital; one person may have several.
with source_rows as (
    select * from {{ source('ehr', 'patients') }}
),

final as (
    select
        patient_id as registration_key,
        hospital_id as hospital_key,
        identity_status_code,
        sex_code,
        postal_code,
        birth_date as birth_on,
        deceased_on,
        cast(updated_at as timestamp) as updated_at
    from source_rows
    where deleted_at is null
)

select * from final
