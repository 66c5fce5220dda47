-- One row per cohort and entry event: the number of the first rule it fails, null for a member.
{%- set definitions = cohort_definitions() %}
with entries as (
    select * from {{ ref('int_cohorts__entries') }}
),

events as (
    select * from {{ ref('int_cohorts__events') }}
),

cohorts as (
    {{ cohort_rows(definitions) }}
),

rules as (
    {{ cohort_rule_rows(definitions) }}
),

-- A rule without a first or last day looks as far as the data go on that side.
event_counts as (
    select
        entries.cohort_code,
        entries.contact_key,
        rules.rule_number,
        count(events.contact_key) as events_count
    from entries
    inner join rules
        on
            entries.cohort_code = rules.cohort_code
            and rules.rule_kind_code = 'event'
    left join events
        on
            entries.cohort_code = events.cohort_code
            and rules.rule_name = events.event_set_name
            and entries.person_key = events.person_key
            and {{ day_diff('entries.entered_on', 'events.started_on') }}
            between coalesce(rules.from_day, -100000) and coalesce(rules.to_day, 100000)
    group by entries.cohort_code, entries.contact_key, rules.rule_number
),

checks as (
    select
        entries.cohort_code,
        entries.contact_key,
        rules.rule_number,
        case rules.rule_kind_code
            when 'linkable_person' then entries.person_key is not null
            when 'first_entry_event' then entries.entry_number = 1
            when 'prior_observation'
                then
                    {{ day_diff('entries.observed_from_on', 'entries.entered_on') }}
                    >= cohorts.prior_observation_days
            when 'washout'
                then
                    entries.previous_entry_on is null
                    or {{ day_diff('entries.previous_entry_on', 'entries.entered_on') }}
                    > cohorts.washout_days
            when 'age'
                then
                    entries.age_years >= coalesce(rules.minimum_years, 0)
                    and entries.age_years <= coalesce(rules.maximum_years, 1000)
            when 'sex' then rules.sex_codes like '%,' || entries.sex_code || ',%'
            when 'event'
                then
                    event_counts.events_count >= coalesce(rules.at_least_count, 0)
                    and event_counts.events_count
                    <= coalesce(rules.at_most_count, event_counts.events_count)
            -- Which passing event is the first is known only when all rules are checked.
            when 'first_passing_event' then true
        end as is_met
    from entries
    inner join cohorts
        on entries.cohort_code = cohorts.cohort_code
    inner join rules
        on entries.cohort_code = rules.cohort_code
    left join event_counts
        on
            entries.cohort_code = event_counts.cohort_code
            and entries.contact_key = event_counts.contact_key
            and rules.rule_number = event_counts.rule_number
),

-- An unknown (no birth date, no sex) does not meet a rule that asks for it.
failures as (
    select
        cohort_code,
        contact_key,
        min(rule_number) filter (where not coalesce(is_met, false)) as failed_rule_number
    from checks
    group by cohort_code, contact_key
),

passed as (
    select
        entries.cohort_code,
        entries.contact_key,
        entries.person_key,
        entries.entry_number,
        entries.entered_on,
        entries.observed_until_on,
        failures.failed_rule_number,
        row_number() over (
            partition by entries.cohort_code, entries.person_key
            order by
                failures.failed_rule_number is not null asc nulls last,
                entries.entry_number asc nulls last
        ) as passing_number
    from entries
    inner join failures
        on
            entries.cohort_code = failures.cohort_code
            and entries.contact_key = failures.contact_key
),

final as (
    select
        passed.cohort_code,
        passed.contact_key,
        passed.person_key,
        cast(
            coalesce(
                passed.failed_rule_number,
                case when passed.passing_number > 1 then rules.rule_number end
            ) as int
        ) as failed_rule_number,
        passed.entered_on,
        passed.observed_until_on
    from passed
    left join rules
        on
            passed.cohort_code = rules.cohort_code
            and rules.rule_kind_code = 'first_passing_event'
)

select * from final
