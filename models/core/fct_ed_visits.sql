-- One row per ED registration; each says which leg and stay it belongs to and why it is no index
-- visit (null where it is one).
with visits as (
    select * from {{ ref('stg_ehr__ed_visits') }}
),

placed as (
    select * from {{ ref('int_ed_visits__exclusions') }}
),

final as (
    select
        visits.ed_visit_key,
        placed.leg_key,
        placed.stay_key,
        placed.person_key,
        visits.registration_key,
        visits.hospital_key,
        visits.provider_key,
        visits.sent_by_hospital_id,
        visits.acuity_code,
        visits.arrival_mode_code,
        visits.complaint_code,
        visits.disposition_code,
        placed.main_diagnosis_code,
        placed.index_exclusion_reason,
        -- Until the departure, or the decision where none is written down. Not known where neither
        -- is, or where it lies before the arrival.
        cast(
            case
                when coalesce(visits.departed_at, visits.disposition_at) >= visits.arrived_at
                    then {{ completed_minutes(
                        "visits.arrived_at", "placed.effective_departed_at"
                    ) }}
            end as int
        ) as length_of_stay_minutes,
        placed.follow_up_seconds,
        placed.is_planned,
        placed.person_key is not null as is_person_linkable,
        placed.is_departure_imputed,
        coalesce(
            placed.index_exclusion_reason = 'duplicate_registration', false
        ) as is_duplicate_registration,
        placed.arrived_month_on,
        placed.leg_arrived_month_on,
        visits.arrived_at,
        visits.triaged_at,
        visits.seen_at,
        visits.disposition_at,
        visits.departed_at
    from visits
    inner join placed on visits.ed_visit_key = placed.ed_visit_key
)

select * from final
