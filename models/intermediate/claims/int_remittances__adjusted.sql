-- One row per remittance, with its adjustments summed by who acts. Signs are kept: a reversal is
-- negative. An adjustment whose group is not known still adjusts, so it stays in the sums.
with remittances as (
    select * from {{ ref('stg_billing__remittances') }}
),

adjustments as (
    select * from {{ ref('stg_billing__remittance_adjustments') }}
),

summed as (
    select
        remittance_key,
        sum(case when group_code = 'CO' then adjustment_amount end) as contractual_amount,
        sum(case when group_code = 'PR' then adjustment_amount end)
            as patient_responsibility_amount,
        sum(case when group_code = 'OA' then adjustment_amount end) as other_amount,
        sum(case when group_code = 'PI' then adjustment_amount end) as payer_initiated_amount,
        sum(
            case
                when coalesce(group_code, '') not in ('CO', 'PR', 'OA', 'PI') then adjustment_amount
            end
        ) as ungrouped_amount
    from adjustments
    group by remittance_key
),

final as (
    select
        remittances.remittance_key,
        remittances.claim_key,
        remittances.claim_line_key,
        remittances.status_code,
        cast(coalesce(summed.contractual_amount, 0) as decimal(18, 2))
            as contractual_amount,
        cast(coalesce(summed.patient_responsibility_amount, 0) as decimal(18, 2))
            as patient_responsibility_amount,
        cast(coalesce(summed.other_amount, 0) as decimal(18, 2))
            as other_amount,
        cast(coalesce(summed.payer_initiated_amount, 0) as decimal(18, 2))
            as payer_initiated_amount,
        cast(coalesce(summed.ungrouped_amount, 0) as decimal(18, 2))
            as ungrouped_amount,
        cast(coalesce(remittances.paid_amount, 0) as decimal(18, 2)) as paid_amount,
        remittances.paid_on
    from remittances
    left join summed
        on remittances.remittance_key = summed.remittance_key
)

select * from final
