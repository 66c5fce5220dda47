-- One row per cohort and step: how many persons and events are left, from the entry events (0)
-- through the rules in their order to the periods of membership (the last step).
{%- set definitions = cohort_definitions() %}
with candidates as (
    select * from {{ ref('int_cohorts__candidates') }}
),

members as (
    select * from {{ ref('fct_cohort_members') }}
),

cohorts as (
    {{ cohort_rows(definitions) }}
),

rules as (
    {{ cohort_rule_rows(definitions) }}
),

event_steps as (
    select
        cohort_code,
        rule_number,
        rule_name
    from rules
    union all
    select
        cohort_code,
        0 as rule_number,
        'entry_events' as rule_name
    from cohorts
),

-- A cohort nobody entered keeps its steps, with zeros.
event_counts as (
    select
        event_steps.cohort_code,
        event_steps.rule_number,
        event_steps.rule_name,
        count(distinct candidates.person_key) as persons_count,
        count(candidates.contact_key) as events_count
    from event_steps
    left join candidates
        on
            event_steps.cohort_code = candidates.cohort_code
            and (
                candidates.failed_rule_number is null
                or event_steps.rule_number < candidates.failed_rule_number
            )
    group by event_steps.cohort_code, event_steps.rule_number, event_steps.rule_name
),

last_steps as (
    select
        cohort_code,
        max(rule_number) + 1 as rule_number
    from event_steps
    group by cohort_code
),

member_counts as (
    select
        last_steps.cohort_code,
        last_steps.rule_number,
        'membership_periods' as rule_name,
        count(distinct members.person_key) as persons_count,
        count(members.person_key) as events_count
    from last_steps
    left join members
        on last_steps.cohort_code = members.cohort_code
    group by last_steps.cohort_code, last_steps.rule_number
),

all_steps as (
    select * from event_counts
    union all
    select * from member_counts
),

final as (
    select
        cohort_code,
        rule_name,
        cast(rule_number as int) as rule_number,
        cast(persons_count as bigint) as persons_count,
        cast(events_count as bigint) as events_count
    from all_steps
)

select * from final
