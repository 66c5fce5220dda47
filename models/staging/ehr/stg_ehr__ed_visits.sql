-- One row per ED registration.
with source_rows as (
    select * from {{ source('ehr', 'ed_visits') }}
),

final as (
    select
        visit_id as ed_visit_key,
        hospital_id as hospital_key,
        patient_id as registration_key,
        provider_id as provider_key,
        sent_by_hospital_id,
        acuity_code,
        arrival_mode_code,
        complaint_code,
        disposition_code,
        is_planned,
        cast(arrived_at as timestamp) as arrived_at,
        cast(triaged_at as timestamp) as triaged_at,
        cast(seen_at as timestamp) as seen_at,
        cast(disposition_at as timestamp) as disposition_at,
        cast(departed_at as timestamp) as departed_at
    from source_rows
    where deleted_at is null
)

select * from final
