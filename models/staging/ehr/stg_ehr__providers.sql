-- One row per provider at a hospital.
with source_rows as (
    select * from {{ source('ehr', 'providers') }}
),

final as (
    select
        provider_id as provider_key,
        hospital_id as hospital_key,
        specialty_code
    from source_rows
    where deleted_at is null
)

select * from final
