-- One row per ED registration; each says which leg and stay it belongs to and why it is no index
-- visit (null where it is one).
with visits as (
    select * from {{ ref('stg_ehr__ed_visits') }}
),

departures as (
    select * from {{ ref('int_ed_visits__departures') }}
),

exclusions as (
    select * from {{ ref('int_ed_visits__exclusions') }}
),

legs as (
    select * from {{ ref('int_ed_legs__follow_up') }}
),

diagnoses as (
    select * from {{ ref('int_ed_visits__main_diagnoses') }}
),

final as (
    select
        visits.ed_visit_key,
        exclusions.leg_key,
        exclusions.stay_key,
        departures.person_key,
        visits.registration_key,
        visits.hospital_key,
        visits.provider_key,
        visits.sent_by_hospital_id,
        visits.acuity_code,
        visits.arrival_mode_code,
        visits.complaint_code,
        visits.disposition_code,
        diagnoses.main_diagnosis_code,
        exclusions.index_exclusion_reason,
        -- Until the departure, or the decision where none is written down; else not known.
        cast(
            case when departures.is_departure_known then {{ completed_minutes(
                "visits.arrived_at", "departures.effective_departed_at"
            ) }} end as int
        ) as length_of_stay_minutes,
        legs.follow_up_seconds,
        departures.is_planned,
        departures.person_key is not null as is_person_linkable,
        departures.is_departure_imputed,
        coalesce(
            exclusions.index_exclusion_reason = 'duplicate_registration', false
        ) as is_duplicate_registration,
        departures.arrived_month_on,
        legs.arrived_month_on as leg_arrived_month_on,
        visits.arrived_at,
        visits.triaged_at,
        visits.seen_at,
        visits.disposition_at,
        visits.departed_at
    from visits
    inner join departures on visits.ed_visit_key = departures.ed_visit_key
    inner join exclusions on visits.ed_visit_key = exclusions.ed_visit_key
    inner join legs on exclusions.leg_key = legs.leg_key
    left join diagnoses on visits.ed_visit_key = diagnoses.ed_visit_key
)

select * from final
