-- One row per payer.
with payers as (
    select * from {{ ref('stg_billing__payers') }}
),

final as (
    select
        payer_key,
        payer_type_code,
        payer_name
    from payers
)

select * from final
