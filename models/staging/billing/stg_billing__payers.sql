-- One row per payer.
with source_rows as (
    select * from {{ source('billing', 'payers') }}
),

final as (
    select
        payer_id as payer_key,
        payer_type_code,
        payer_name
    from source_rows
)

select * from final
