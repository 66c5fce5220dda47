-- One row per adjustment of a remittance.
with source_rows as (
    select * from {{ source('billing', 'remittance_adjustments') }}
),

final as (
    select
        adjustment_id as adjustment_key,
        remittance_id as remittance_key,
        group_code,
        reason_code,
        amount as adjustment_amount
    from source_rows
    where deleted_at is null
)

select * from final
