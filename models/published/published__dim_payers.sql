-- One row per payer.
{{ config(alias='dim_payers') }}
with payers as (
    select * from {{ ref('dim_payers') }}
),

final as (
    select
        payer_key,
        payer_type_code,
        payer_name
    from payers
)

select * from final
