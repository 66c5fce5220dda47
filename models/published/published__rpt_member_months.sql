-- One row per month, payer and product: member months, small cells hidden.
--
-- rpt_claims_monthly shows the sum of a payer's products: where one product is small, all of that
-- payer's month are hidden.
{{ config(alias='rpt_member_months') }}
with member_months as (
    select * from {{ ref('rpt_member_months') }}
),

flagged as (
    select
        *,
        max(
            case
                when
                    {{ is_small_count('members_count') }}
                    or (member_months_count > 0 and member_months_count < 11)
                    then 1
                else 0
            end
        ) over (partition by payer_key, month_on) = 1 as is_suppressed
    from member_months
),

final as (
    select
        payer_key,
        product_code,
        member_month_rule_code,
        {{ suppress('member_months_count', 'is_suppressed') }} as member_months_count,
        is_suppressed,
        month_on
    from flagged
)

select * from final
