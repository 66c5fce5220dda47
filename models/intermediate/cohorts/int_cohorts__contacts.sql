-- One row per encounter (ED registration or inpatient encounter): the contact it is part of.
-- A contact is an ED leg (its double registrations joined) or an inpatient encounter. Days are
-- days of the hospital's own calendar.
with encounters as (
    select * from {{ ref('fct_encounters') }}
),

ed_visits as (
    select * from {{ ref('fct_ed_visits') }}
),

hospitals as (
    select * from {{ ref('dim_hospitals') }}
),

-- A leg bears the key of its first registration: that row says when the contact began.
ed_legs as (
    select
        ed_visits.ed_visit_key as encounter_key,
        first_registrations.ed_visit_key as contact_key,
        first_registrations.is_planned,
        first_registrations.arrived_at as started_at,
        ed_visits.disposition_at as decided_at
    from ed_visits
    inner join ed_visits as first_registrations
        on ed_visits.leg_key = first_registrations.ed_visit_key
),

joined as (
    select
        encounters.encounter_key,
        coalesce(ed_legs.contact_key, encounters.encounter_key) as contact_key,
        encounters.person_key,
        encounters.encounter_class_code as setting_code,
        hospitals.time_zone,
        coalesce(ed_legs.is_planned, false) as is_planned,
        coalesce(ed_legs.started_at, encounters.started_at) as started_at,
        coalesce(encounters.ended_at, ed_legs.decided_at, encounters.started_at) as ended_at
    from encounters
    left join ed_legs
        on encounters.encounter_key = ed_legs.encounter_key
    left join hospitals
        on encounters.hospital_key = hospitals.hospital_key
),

final as (
    select
        encounter_key,
        contact_key,
        person_key,
        setting_code,
        is_planned,
        started_at,
        cast({{ to_local('started_at', 'time_zone') }} as date) as started_on,
        cast({{ to_local('ended_at', 'time_zone') }} as date) as ended_on
    from joined
)

select * from final
