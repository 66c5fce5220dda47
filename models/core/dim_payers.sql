-- One row per payer, and one for all that the billing system names without listing them, where
-- there are such claims or coverages.
with payers as (
    select * from {{ ref('stg_billing__payers') }}
),

claims as (
    select * from {{ ref('stg_billing__claims') }}
),

coverages as (
    select * from {{ ref('stg_billing__coverages') }}
),

unlisted as (
    select payer_key from claims
    where payer_key = '{{ var("unlisted_payer_key") }}'
    union
    select payer_key from coverages
    where payer_key = '{{ var("unlisted_payer_key") }}'
),

final as (
    select
        payer_key,
        payer_type_code,
        payer_name
    from payers
    union all
    select
        payer_key,
        cast(null as string) as payer_type_code,
        'Payer not listed' as payer_name
    from unlisted
)

select * from final
