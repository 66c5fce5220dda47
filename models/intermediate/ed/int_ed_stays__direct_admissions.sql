-- One row per index stay that a direct admission follows, with that admission.
--
-- Departures of index stays, arrivals of possible returns and direct admissions lie on one line of
-- time per person. A departure that an admission follows directly has it; where an arrival or
-- another departure comes in between, it has none.
{{ config(materialized='view') }}

with admissions as (
    select * from {{ ref('int_inpatient_encounters__direct') }}
),

persons as (
    select distinct person_key from admissions
),

-- Of few persons a direct admission is known: the others have no line.
stays as (
    select stays.*
    from {{ ref('int_ed_stays__outcomes') }} as stays
    inner join persons on stays.person_key = persons.person_key
),

events as (
    -- Of what happens at one instant an arrival comes first: a return to an ED takes precedence.
    select
        person_key,
        stay_key,
        stay_key as event_key,
        cast(null as string) as encounter_key,
        0 as event_order,
        started_at as happened_at,
        started_at as arrived_at
    from stays
    where is_return_candidate
    union all
    select
        person_key,
        cast(null as string) as stay_key,
        encounter_key as event_key,
        encounter_key,
        1 as event_order,
        admitted_at as happened_at,
        admitted_at as arrived_at
    from admissions
    union all
    -- A departure comes last: what begins at that very instant does not follow it. Of two
    -- departures at one instant the later arrival is the later stay.
    select
        person_key,
        stay_key,
        index_visit_key as event_key,
        cast(null as string) as encounter_key,
        2 as event_order,
        index_departed_at as happened_at,
        index_arrived_at as arrived_at
    from stays
    where is_index
),

followed as (
    select
        stay_key,
        event_order,
        lead(encounter_key) over (
            partition by person_key
            order by
                happened_at asc nulls last,
                event_order asc,
                arrived_at asc nulls last,
                event_key asc
        ) as encounter_key
    from events
),

final as (
    select
        stay_key,
        encounter_key
    from followed
    where event_order = 2 and encounter_key is not null
)

select * from final
