-- One row per month, payer and product: its member-months by each rule, and by the chosen one.
-- Under exact_days a member-month is a fraction. It is made in double and rounded to four places:
-- days x 10,000 / 28 to 31 never lies half-way between two integers, so engines cannot disagree.
with months as (
    select * from {{ ref('int_coverage_segments__months') }}
),

parameters as (
    select * from {{ ref('claim_parameters') }}
),

rules as (
    select max(parameter_value) as member_month_rule_code
    from parameters
    where parameter_code = 'member_month_rule'
),

counted as (
    select
        payer_key,
        product_code,
        month_on,
        max(month_days_count) as month_days_count,
        count(distinct registration_key) as members_count,
        count_if(is_last_of_month) as any_day_count,
        count_if(is_first_day_covered) as first_day_count,
        count_if(is_fifteenth_covered) as fifteenth_count,
        {{ total_days('covered_days_count') }} as covered_days_count
    from months
    group by payer_key, product_code, month_on
),

final as (
    select
        counted.payer_key,
        counted.product_code,
        rules.member_month_rule_code,
        cast(counted.members_count as bigint) as members_count,
        cast(counted.any_day_count as bigint) as any_day_member_months_count,
        cast(counted.first_day_count as bigint) as first_day_member_months_count,
        cast(counted.fifteenth_count as bigint) as fifteenth_member_months_count,
        cast(counted.covered_days_count as bigint) as covered_days_count,
        cast(counted.month_days_count as int) as month_days_count,
        case rules.member_month_rule_code
            when 'any_day' then cast(counted.any_day_count as decimal(18, 4))
            when 'first_day' then cast(counted.first_day_count as decimal(18, 4))
            when 'fifteenth' then cast(counted.fifteenth_count as decimal(18, 4))
            when 'exact_days' then cast(
                round(
                    cast(counted.covered_days_count as double)
                    / cast(counted.month_days_count as double),
                    4
                ) as decimal(18, 4)
            )
        end as member_months_count,
        counted.month_on
    from counted
    cross join rules
)

select * from final
