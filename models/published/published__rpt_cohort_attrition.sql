-- One row per cohort and step: persons and events left, small counts hidden.
--
-- Counts above 10 are rounded up to tens: exact ones would show by subtraction that a step lost a
-- few. Hiding such steps would not do: that a later step is shown tells how few they were.
{{ config(alias='rpt_cohort_attrition') }}
with attrition as (
    select
        *,
        {{ is_small_count('persons_count') }} or {{ is_small_count('events_count') }}
            as is_suppressed
    from {{ ref('rpt_cohort_attrition') }}
),

final as (
    select
        cohort_code,
        rule_name,
        rule_number,
        case when not is_suppressed then {{ round_up_count('persons_count') }} end
            as persons_count,
        case when not is_suppressed then {{ round_up_count('events_count') }} end as events_count,
        is_suppressed
    from attrition
)

select * from final
