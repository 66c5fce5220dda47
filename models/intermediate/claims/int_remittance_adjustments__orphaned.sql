-- One row per adjustment whose remittance does not stand: it enters no sum.
with adjustments as (
    select * from {{ ref('stg_billing__remittance_adjustments') }}
),

remittances as (
    select * from {{ ref('stg_billing__remittances') }}
),

final as (
    select
        adjustments.adjustment_key,
        adjustments.remittance_key,
        adjustments.adjustment_amount
    from adjustments
    left join remittances
        on adjustments.remittance_key = remittances.remittance_key
    where remittances.remittance_key is null
)

select * from final
