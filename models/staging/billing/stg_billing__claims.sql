-- One row per claim version: originals, interim bills, replacements and voids.
with source_rows as (
    select * from {{ source('billing', 'claims') }}
),

final as (
    select
        claim_id as claim_key,
        claim_number as claim_number_key,
        member_id as registration_key,
        coalesce(payer_id, '{{ var("unlisted_payer_key") }}') as payer_key,
        hospital_id as hospital_key,
        replaces_claim_id as replaces_claim_key,
        claim_type_code,
        frequency_code,
        upper(replace(principal_diagnosis_code, '.', '')) as principal_diagnosis_code,
        billed_amount,
        service_from_on,
        service_to_on,
        received_on,
        cast(created_at as timestamp) as recorded_at
    from source_rows
    where deleted_at is null
)

select * from final
