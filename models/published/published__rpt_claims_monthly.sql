-- One row per month of service and payer: the network's version, small and derivable cells hidden.
--
-- Amounts stand and fall with the counts they belong to: the billed amount of three claims is a
-- small cell as much as the three.
{{ config(alias='rpt_claims_monthly') }}
with claims as (
    select * from {{ ref('rpt_claims_monthly') }}
),

rows_flagged as (
    select
        *,
        {{ is_small_count('claims_count') }}
        or (member_months_count > 0 and member_months_count < 11) as is_suppressed
    from claims
),

flagged as (
    select
        *,
        is_suppressed
        or {{ is_small_count('denied_claims_count') }}
        or {{ is_small_count('adjudicated_claims_count') }}
        or {{ is_small_count('adjudicated_claims_count - denied_claims_count') }}
        or {{ is_small_count('claims_count - adjudicated_claims_count') }}
        or {{ is_small_count('claims_count - denied_claims_count') }} as is_denial_suppressed,
        is_suppressed
        or {{ is_small_count('uncovered_claims_count') }}
        or {{ is_small_count('claims_count - uncovered_claims_count') }}
            as is_uncovered_suppressed
    from rows_flagged
),

final as (
    select
        payer_key,
        {{ suppress('claims_count', 'is_suppressed') }} as claims_count,
        {{ suppress('adjudicated_claims_count', 'is_denial_suppressed') }}
            as adjudicated_claims_count,
        {{ suppress('denied_claims_count', 'is_denial_suppressed') }} as denied_claims_count,
        {{ suppress('uncovered_claims_count', 'is_uncovered_suppressed') }}
            as uncovered_claims_count,
        {{ suppress('billed_amount', 'is_suppressed') }} as billed_amount,
        {{ suppress('allowed_amount', 'is_suppressed') }} as allowed_amount,
        {{ suppress('paid_amount', 'is_suppressed') }} as paid_amount,
        {{ suppress('patient_responsibility_amount', 'is_suppressed') }}
            as patient_responsibility_amount,
        {{ suppress('adjustment_amount', 'is_suppressed') }} as adjustment_amount,
        {{ suppress('denied_amount', 'is_denial_suppressed') }} as denied_amount,
        {{ suppress('uncovered_allowed_amount', 'is_uncovered_suppressed') }}
            as uncovered_allowed_amount,
        {{ suppress('uncovered_paid_amount', 'is_uncovered_suppressed') }}
            as uncovered_paid_amount,
        {{ suppress('member_months_count', 'is_suppressed') }} as member_months_count,
        is_suppressed,
        is_denial_suppressed,
        is_uncovered_suppressed,
        month_on
    from flagged
)

select * from final
