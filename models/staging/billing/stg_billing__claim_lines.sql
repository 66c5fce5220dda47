-- One row per line of a claim version.
with source_rows as (
    select * from {{ source('billing', 'claim_lines') }}
),

final as (
    select
        claim_line_id as claim_line_key,
        claim_id as claim_key,
        revenue_code,
        procedure_code,
        line_number,
        units,
        billed_amount,
        service_on
    from source_rows
    where deleted_at is null
)

select * from final
