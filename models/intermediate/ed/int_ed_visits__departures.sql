-- One row per ED registration, with its person, its main diagnosis, its effective departure and its
-- local date.
{{ config(materialized='view') }}

with visits as (
    select * from {{ ref('stg_ehr__ed_visits') }}
),

diagnoses as (
    select * from {{ ref('int_ed_visits__main_diagnoses') }}
),

registrations as (
    select * from {{ ref('int_registrations__persons') }}
),

hospitals as (
    select * from {{ ref('stg_ehr__hospitals') }}
),

known as (
    select
        visits.ed_visit_key,
        visits.hospital_key,
        visits.complaint_code,
        visits.disposition_code,
        diagnoses.main_diagnosis_code,
        visits.arrived_at,
        registrations.person_key,
        hospitals.time_zone,
        coalesce(visits.is_planned, false) as is_planned,
        visits.departed_at is null and visits.disposition_at is not null as is_departure_imputed,
        coalesce(visits.departed_at, visits.disposition_at) as known_departed_at
    from visits
    left join diagnoses on visits.ed_visit_key = diagnoses.ed_visit_key
    left join registrations on visits.registration_key = registrations.registration_key
    left join hospitals on visits.hospital_key = hospitals.hospital_key
),

final as (
    select
        ed_visit_key,
        person_key,
        hospital_key,
        -- Nobody to join with: a registration without a person or an arrival stands alone.
        case when person_key is null or arrived_at is null then ed_visit_key end as lone_key,
        complaint_code,
        disposition_code,
        main_diagnosis_code,
        is_planned,
        known_departed_at is not null as is_departure_known,
        is_departure_imputed,
        cast({{ to_local("arrived_at", "time_zone") }} as date) as arrived_on,
        arrived_at,
        greatest(coalesce(known_departed_at, arrived_at), arrived_at) as effective_departed_at
    from known
)

select * from final
