-- One row per cohort and entry event: a contact of the entry's event set that, where the entry
-- asks for repeats, completes their number within the days given.
{%- set definitions = cohort_definitions() %}
with events as (
    select * from {{ ref('int_cohorts__events') }}
    where event_set_name = 'entry'
),

patients as (
    select * from {{ ref('dim_patients') }}
),

observation_periods as (
    select * from {{ ref('int_cohorts__observation_periods') }}
),

cohorts as (
    {{ cohort_rows(definitions) }}
),

-- A contact that cannot be linked is a person of its own: it is counted, and fails the first rule.
numbered as (
    select
        cohort_code,
        coalesce(person_key, contact_key) as person_or_contact_key,
        contact_key,
        person_key,
        started_on,
        row_number() over (
            partition by cohort_code, coalesce(person_key, contact_key)
            order by started_at asc nulls last, contact_key asc nulls last
        ) as event_number
    from events
),

-- N events within D days: the first and the Nth lie in one run of D calendar days.
repeated as (
    select
        numbered.cohort_code,
        numbered.contact_key,
        numbered.person_key,
        numbered.person_or_contact_key,
        numbered.event_number,
        numbered.started_on as entered_on
    from numbered
    inner join cohorts
        on numbered.cohort_code = cohorts.cohort_code
    inner join numbered as earlier
        on
            numbered.cohort_code = earlier.cohort_code
            and numbered.person_or_contact_key = earlier.person_or_contact_key
            and numbered.event_number - (cohorts.repeat_count - 1) = earlier.event_number
    where
        {{ day_diff('earlier.started_on', 'numbered.started_on') }} < cohorts.repeat_within_days
),

entry_dates as (
    select distinct
        cohort_code,
        person_or_contact_key,
        entered_on
    from repeated
),

-- Two entry events of one day do not stand in each other's washout.
entry_days as (
    select
        cohort_code,
        person_or_contact_key,
        entered_on,
        lag(entered_on) over (
            partition by cohort_code, person_or_contact_key order by entered_on asc nulls last
        ) as previous_entry_on
    from entry_dates
),

final as (
    select
        repeated.cohort_code,
        repeated.contact_key,
        repeated.person_key,
        patients.sex_code,
        {{ completed_years('patients.birth_on', 'repeated.entered_on') }} as age_years,
        cast(row_number() over (
            partition by repeated.cohort_code, repeated.person_or_contact_key
            order by repeated.event_number asc nulls last
        ) as int) as entry_number,
        repeated.entered_on,
        entry_days.previous_entry_on,
        observation_periods.observed_from_on,
        observation_periods.observed_until_on
    from repeated
    inner join entry_days
        on
            repeated.cohort_code = entry_days.cohort_code
            and repeated.person_or_contact_key = entry_days.person_or_contact_key
            and repeated.entered_on = entry_days.entered_on
    left join patients
        on repeated.person_key = patients.person_key
    left join observation_periods
        on repeated.person_key = observation_periods.person_key
)

select * from final
