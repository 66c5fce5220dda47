-- One row per vital sign or laboratory result.
with source_rows as (
    select * from {{ source('ehr', 'observations') }}
),

final as (
    select
        observation_id as observation_key,
        hospital_id as hospital_key,
        patient_id as registration_key,
        ed_visit_id as ed_visit_key,
        encounter_id as encounter_key,
        observation_code,
        unit_code,
        value,
        cast(observed_at as timestamp) as observed_at
    from source_rows
    where deleted_at is null
)

select * from final
