-- One row per month, payer and product: how long its members were covered.
with member_months as (
    select * from {{ ref('int_member_months__counted') }}
),

final as (
    select
        payer_key,
        product_code,
        member_month_rule_code,
        member_months_count,
        members_count,
        any_day_member_months_count,
        first_day_member_months_count,
        fifteenth_member_months_count,
        covered_days_count,
        month_days_count,
        month_on
    from member_months
)

select * from final
