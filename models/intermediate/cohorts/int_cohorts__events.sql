-- One row per cohort, event set and contact: every contact that a definition may look at, as its
-- entry or in one of its event rules. Many diagnoses of one contact are one event.
{%- set definitions = cohort_definitions() %}
with contacts as (
    select * from {{ ref('int_cohorts__contacts') }}
),

diagnoses as (
    select * from {{ ref('fct_diagnoses') }}
),

code_sets as (
    select * from {{ ref('int_cohorts__code_sets') }}
),

event_sets as (
    {{ cohort_event_set_rows(definitions) }}
),

-- A code may stand under several items of one code set.
codes as (
    select distinct
        event_sets.cohort_code,
        event_sets.event_set_name,
        event_sets.setting_code,
        event_sets.is_main_only,
        code_sets.diagnosis_code
    from event_sets
    inner join code_sets
        on
            event_sets.cohort_code = code_sets.cohort_code
            and event_sets.code_set_name = code_sets.code_set_name
    where event_sets.event_code = 'diagnosis'
),

diagnosis_events as (
    select
        codes.cohort_code,
        codes.event_set_name,
        contacts.contact_key,
        contacts.person_key,
        contacts.started_at,
        contacts.started_on
    from diagnoses
    inner join codes
        on diagnoses.diagnosis_code = codes.diagnosis_code
    inner join contacts
        on diagnoses.encounter_key = contacts.encounter_key
    where
        (codes.setting_code is null or codes.setting_code = contacts.setting_code)
        and (diagnoses.is_main or not codes.is_main_only)
),

visit_events as (
    select
        event_sets.cohort_code,
        event_sets.event_set_name,
        contacts.contact_key,
        contacts.person_key,
        contacts.started_at,
        contacts.started_on
    from contacts
    inner join event_sets
        on contacts.setting_code = event_sets.setting_code
    where
        event_sets.event_code in ('ed_visit', 'inpatient_stay')
        and (event_sets.is_planned_included or not contacts.is_planned)
),

all_events as (
    select * from diagnosis_events
    union all
    select * from visit_events
),

final as (
    select
        cohort_code,
        event_set_name,
        contact_key,
        min(person_key) as person_key,
        min(started_at) as started_at,
        min(started_on) as started_on
    from all_events
    group by cohort_code, event_set_name, contact_key
)

select * from final
