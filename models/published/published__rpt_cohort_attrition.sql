-- One row per cohort and step: persons and events left, small counts and small steps hidden.
--
-- A step that loses 1 to 10 against any earlier step is hidden: subtraction would show the loss.
-- So is an events count within 1 to 10 of its persons: the difference is a count of repeats.
{{ config(alias='rpt_cohort_attrition') }}
with attrition as (
    select * from {{ ref('rpt_cohort_attrition') }}
),

near_steps as (
    select distinct
        later.cohort_code,
        later.rule_number
    from attrition as later
    inner join attrition as earlier
        on
            later.cohort_code = earlier.cohort_code
            and later.rule_number > earlier.rule_number
    where
        {{ is_small_count('abs(earlier.persons_count - later.persons_count)') }}
        or {{ is_small_count('abs(earlier.events_count - later.events_count)') }}
),

flagged as (
    select
        attrition.*,
        near_steps.cohort_code is not null
        or {{ is_small_count('attrition.persons_count') }}
        or {{ is_small_count('attrition.events_count') }}
        or {{ is_small_count('attrition.events_count - attrition.persons_count') }}
            as is_suppressed
    from attrition
    left join near_steps
        on
            attrition.cohort_code = near_steps.cohort_code
            and attrition.rule_number = near_steps.rule_number
),

final as (
    select
        cohort_code,
        rule_name,
        rule_number,
        {{ suppress('persons_count', 'is_suppressed') }} as persons_count,
        {{ suppress('events_count', 'is_suppressed') }} as events_count,
        is_suppressed
    from flagged
)

select * from final
