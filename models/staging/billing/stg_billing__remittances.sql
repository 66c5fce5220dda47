-- One row per payment advice for a claim version or one of its lines, reversals included.
with source_rows as (
    select * from {{ source('billing', 'remittances') }}
),

final as (
    select
        remittance_id as remittance_key,
        claim_id as claim_key,
        claim_line_id as claim_line_key,
        status_code,
        paid_amount,
        paid_on
    from source_rows
    where deleted_at is null
)

select * from final
