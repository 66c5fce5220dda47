-- One row per month of service and payer, members without a claim included. Numerators and
-- denominators only: the reader divides. The month and payer are null where the claim names none.
with claims as (
    select * from {{ ref('fct_claims') }}
),

member_months as (
    select * from {{ ref('rpt_member_months') }}
),

measures as (
    select
        payer_key,
        incurred_month_on as month_on,
        case when not is_voided then 1 else 0 end as claims_count,
        case when is_adjudicated then 1 else 0 end as adjudicated_claims_count,
        case when claim_status_code = 'denied' then 1 else 0 end as denied_claims_count,
        case when is_voided then 1 else 0 end as voided_claims_count,
        case when not is_voided and not is_covered then 1 else 0 end as uncovered_claims_count,
        billed_amount,
        allowed_amount,
        paid_amount,
        patient_responsibility_amount,
        other_adjustment_amount as adjustment_amount,
        case when claim_status_code = 'denied' then billed_amount else 0 end as denied_amount,
        case when not is_covered then allowed_amount else 0 end as uncovered_allowed_amount,
        case when not is_covered then paid_amount else 0 end as uncovered_paid_amount,
        0 as member_months_count
    from claims
    union all
    select
        payer_key,
        month_on,
        0 as claims_count,
        0 as adjudicated_claims_count,
        0 as denied_claims_count,
        0 as voided_claims_count,
        0 as uncovered_claims_count,
        0 as billed_amount,
        0 as allowed_amount,
        0 as paid_amount,
        0 as patient_responsibility_amount,
        0 as adjustment_amount,
        0 as denied_amount,
        0 as uncovered_allowed_amount,
        0 as uncovered_paid_amount,
        member_months_count
    from member_months
),

final as (
    select
        payer_key,
        cast(sum(claims_count) as bigint) as claims_count,
        cast(sum(adjudicated_claims_count) as bigint) as adjudicated_claims_count,
        cast(sum(denied_claims_count) as bigint) as denied_claims_count,
        cast(sum(voided_claims_count) as bigint) as voided_claims_count,
        cast(sum(uncovered_claims_count) as bigint) as uncovered_claims_count,
        cast(sum(billed_amount) as decimal(18, 2)) as billed_amount,
        cast(sum(allowed_amount) as decimal(18, 2)) as allowed_amount,
        cast(sum(paid_amount) as decimal(18, 2)) as paid_amount,
        cast(sum(patient_responsibility_amount) as decimal(18, 2))
            as patient_responsibility_amount,
        cast(sum(adjustment_amount) as decimal(18, 2)) as adjustment_amount,
        cast(sum(denied_amount) as decimal(18, 2)) as denied_amount,
        cast(sum(uncovered_allowed_amount) as decimal(18, 2)) as uncovered_allowed_amount,
        cast(sum(uncovered_paid_amount) as decimal(18, 2)) as uncovered_paid_amount,
        cast(sum(member_months_count) as decimal(18, 4)) as member_months_count,
        month_on
    from measures
    group by payer_key, month_on
)

select * from final
