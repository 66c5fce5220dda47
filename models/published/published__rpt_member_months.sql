-- One row per month, payer and product: member months, small cells hidden.
--
-- Shown with the claims of the month, when they have run out: coverage too is corrected backwards.
-- rpt_claims_monthly shows the sum of a payer's products: where one product is small, all of that
-- payer's month are hidden.
{{ config(alias='rpt_member_months') }}
with member_months as (
    select * from {{ ref('rpt_member_months') }}
),

snapshots as (
    select * from {{ ref('rpt_snapshot') }}
),

flagged as (
    select
        member_months.*,
        not {{ has_run_out('member_months.month_on', 'snapshots.data_through_at') }} as is_open,
        max(
            case
                when
                    {{ is_small_count('member_months.members_count') }}
                    or (
                        member_months.member_months_count > 0
                        and member_months.member_months_count < 11
                    )
                    then 1
                else 0
            end
        ) over (partition by member_months.payer_key, member_months.month_on) = 1 as is_small
    from member_months
    cross join snapshots
),

hidden as (
    select
        *,
        is_open or is_small as is_suppressed
    from flagged
),

final as (
    select
        payer_key,
        product_code,
        member_month_rule_code,
        {{ suppression_code('is_open', 'is_suppressed') }} as suppression_code,
        {{ suppress('member_months_count', 'is_suppressed') }} as member_months_count,
        is_suppressed,
        month_on
    from hidden
)

select * from final
