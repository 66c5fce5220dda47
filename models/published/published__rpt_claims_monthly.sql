-- One row per month of service and payer: the network's version, small and derivable cells hidden.
--
-- Amounts stand and fall with the counts they belong to: the billed amount of three claims is a
-- small cell as much as the three, and so is what is left when the answered charges are taken off
-- the billed ones. What was paid is counted by the claims on which something was.
--
-- Where every product of a payer has few members all of them are hidden, and their sum can still be
-- too near its bounds: 10 and 9 are all that 19 can be.
--
-- A month that has not run out is hidden: of one night's payments and the next's, the difference is
-- what a few claims were paid. A row without a month never closes.
{{ config(alias='rpt_claims_monthly') }}
with claims as (
    select * from {{ ref('rpt_claims_monthly') }}
),

snapshots as (
    select * from {{ ref('rpt_snapshot') }}
),

answered_claims as (
    select
        payer_key,
        incurred_month_on,
        count(case when allowed_amount != 0 then 1 end) as allowed_count,
        count(case when paid_amount != 0 then 1 end) as paid_count,
        count(case when patient_responsibility_amount != 0 then 1 end) as shared_count,
        count(case when not is_covered and allowed_amount != 0 then 1 end)
            as uncovered_allowed_count,
        count(case when not is_covered and paid_amount != 0 then 1 end) as uncovered_paid_count
    from {{ ref('fct_claims') }}
    group by payer_key, incurred_month_on
),

products as (
    select
        *,
        {{ is_small_count('members_count') }}
        or (member_months_count > 0 and member_months_count < 11) as is_small
    from {{ ref('rpt_member_months') }}
),

member_months as (
    select
        payer_key,
        month_on,
        bool_and(is_small)
        and not {{ is_sum_safe('sum(member_months_count)', 'count(*)') }} as is_sum_unsafe
    from products
    group by payer_key, month_on
),

rows_flagged as (
    select
        claims.*,
        answered_claims.allowed_count,
        answered_claims.paid_count,
        answered_claims.shared_count,
        answered_claims.uncovered_allowed_count,
        answered_claims.uncovered_paid_count,
        not {{ has_run_out('claims.month_on', 'snapshots.data_through_at') }} as is_open,
        not {{ has_run_out('claims.month_on', 'snapshots.data_through_at') }}
        or {{ is_small_count('claims.claims_count') }}
        or (claims.member_months_count > 0 and claims.member_months_count < 11)
        or coalesce(member_months.is_sum_unsafe, false) as is_suppressed
    from claims
    cross join snapshots
    left join member_months
        on
            claims.payer_key is not distinct from member_months.payer_key
            and claims.month_on = member_months.month_on
    left join answered_claims
        on
            claims.payer_key is not distinct from answered_claims.payer_key
            and claims.month_on is not distinct from answered_claims.incurred_month_on
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
        or {{ is_small_count('adjudicated_claims_count') }}
        or {{ is_small_count('allowed_count') }}
        or {{ is_small_count('paid_count') }}
        or {{ is_small_count('shared_count') }}
        or {{ is_small_count('allowed_count - paid_count') }} as is_payment_suppressed,
        is_suppressed
        or {{ is_small_count('uncovered_claims_count') }}
        or {{ is_small_count('claims_count - uncovered_claims_count') }}
        or {{ is_small_count('uncovered_allowed_count') }}
        or {{ is_small_count('uncovered_paid_count') }}
        or {{ is_small_count('allowed_count - uncovered_allowed_count') }}
        or {{ is_small_count('paid_count - uncovered_paid_count') }} as is_uncovered_small
    from rows_flagged
),

protected as (
    select
        *,
        is_payment_suppressed or is_uncovered_small as is_uncovered_suppressed,
        -- Billed less paid, patient share and adjustments is what open claims billed.
        is_payment_suppressed
        or {{ is_small_count('claims_count - adjudicated_claims_count') }}
            as is_adjustment_suppressed
    from flagged
),

final as (
    select
        payer_key,
        {{ suppression_code('is_open', 'is_suppressed') }} as suppression_code,
        {{ suppress('claims_count', 'is_suppressed') }} as claims_count,
        {{ suppress('adjudicated_claims_count', 'is_denial_suppressed') }}
            as adjudicated_claims_count,
        {{ suppress('denied_claims_count', 'is_denial_suppressed') }} as denied_claims_count,
        {{ suppress('uncovered_claims_count', 'is_uncovered_suppressed') }}
            as uncovered_claims_count,
        {{ suppress('billed_amount', 'is_suppressed') }} as billed_amount,
        {{ suppress('allowed_amount', 'is_payment_suppressed') }} as allowed_amount,
        {{ suppress('paid_amount', 'is_payment_suppressed') }} as paid_amount,
        {{ suppress('patient_responsibility_amount', 'is_payment_suppressed') }}
            as patient_responsibility_amount,
        {{ suppress('adjustment_amount', 'is_adjustment_suppressed') }} as adjustment_amount,
        {{ suppress('denied_amount', 'is_denial_suppressed') }} as denied_amount,
        {{ suppress('uncovered_allowed_amount', 'is_uncovered_suppressed') }}
            as uncovered_allowed_amount,
        {{ suppress('uncovered_paid_amount', 'is_uncovered_suppressed') }}
            as uncovered_paid_amount,
        {{ suppress('member_months_count', 'is_suppressed') }} as member_months_count,
        is_suppressed,
        is_denial_suppressed,
        is_payment_suppressed,
        is_uncovered_suppressed,
        month_on
    from protected
)

select * from final
