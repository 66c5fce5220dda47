-- Fails where a step of the attrition has more persons or events than the step before it, or where
-- the last step has other persons than the rules left over. A flow that grows, or that loses
-- people between the rules and the members, cannot be believed. Says nothing about the rules.
with steps as (
    select
        cohort_code,
        rule_number,
        rule_name,
        persons_count,
        events_count,
        lag(persons_count) over (
            partition by cohort_code order by rule_number asc nulls last
        ) as previous_persons_count,
        lag(events_count) over (
            partition by cohort_code order by rule_number asc nulls last
        ) as previous_events_count
    from {{ ref('rpt_cohort_attrition') }}
)

select
    cohort_code,
    rule_number
from steps
where
    persons_count > previous_persons_count
    or events_count > previous_events_count
    or (rule_name = 'membership_periods' and persons_count <> previous_persons_count)
