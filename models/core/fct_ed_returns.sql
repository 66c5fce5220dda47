-- One row per index visit (an unplanned ED stay that ended in discharge home) and its return.
with pairs as (
    select * from {{ ref('int_ed_stays__returns') }}
),

stays as (
    select * from {{ ref('int_ed_stays__outcomes') }}
),

stay_diagnoses as (
    select * from {{ ref('int_ed_stays__main_diagnoses') }}
),

leg_diagnoses as (
    select * from {{ ref('int_ed_legs__main_diagnoses') }}
),

visits as (
    select * from {{ ref('fct_ed_visits') }}
),

hospitals as (
    select * from {{ ref('dim_hospitals') }}
),

persons as (
    select * from {{ ref('dim_patients') }}
),

headline as (
    select max(window_hours) * 3600 as window_seconds
    from {{ ref('ed_return_measures') }}
    where is_headline
),

joined as (
    select
        index_stays.index_visit_key,
        return_stays.stay_key as return_visit_key,
        index_stays.person_key,
        index_stays.last_hospital_key as hospital_key,
        return_stays.hospital_key as return_hospital_key,
        leg_diagnoses.main_diagnosis_code as index_diagnosis_code,
        visits.complaint_code as index_complaint_code,
        stay_diagnoses.main_diagnosis_code as return_diagnosis_code,
        return_stays.outcome_code as return_outcome_code,
        {{ completed_years(
            "persons.birth_on", to_local("index_stays.index_arrived_at", "hospitals.time_zone")
        ) }} as index_age_years,
        {{ completed_years(
            "persons.birth_on", to_local("return_stays.started_at", "return_hospitals.time_zone")
        ) }} as return_age_years,
        {{ elapsed_seconds(
            "index_stays.index_departed_at", "return_stays.started_at"
        ) }} as elapsed_seconds,
        index_stays.follow_up_seconds,
        coalesce(return_stays.is_admitted, false) as is_return_admitted,
        coalesce(
            index_stays.follow_up_seconds >= headline.window_seconds, true
        ) as has_complete_follow_up,
        index_stays.index_month_on,
        index_stays.index_arrived_at,
        index_stays.index_departed_at,
        return_stays.started_at as return_arrived_at,
        headline.window_seconds
    from pairs
    cross join headline
    inner join stays as index_stays on pairs.stay_key = index_stays.stay_key
    inner join visits on index_stays.index_visit_key = visits.ed_visit_key
    left join hospitals on index_stays.last_hospital_key = hospitals.hospital_key
    left join persons on index_stays.person_key = persons.person_key
    left join leg_diagnoses on index_stays.last_leg_key = leg_diagnoses.leg_key
    left join stays as return_stays on pairs.return_stay_key = return_stays.stay_key
    left join hospitals as return_hospitals
        on return_stays.hospital_key = return_hospitals.hospital_key
    left join stay_diagnoses on pairs.return_stay_key = stay_diagnoses.stay_key
),

judged as (
    select
        *,
        not coalesce(
            return_outcome_code = 'unknown' and elapsed_seconds <= window_seconds, false
        ) as is_outcome_known
    from joined
),

final as (
    select
        index_visit_key,
        return_visit_key,
        person_key,
        hospital_key,
        return_hospital_key,
        index_diagnosis_code,
        index_complaint_code,
        return_diagnosis_code,
        return_outcome_code,
        case
            when not has_complete_follow_up then 'follow_up_incomplete'
            when not is_outcome_known then 'outcome_unknown'
        end as exclusion_reason,
        index_age_years,
        return_age_years,
        elapsed_seconds,
        follow_up_seconds,
        is_return_admitted,
        has_complete_follow_up,
        is_outcome_known,
        index_month_on,
        index_arrived_at,
        index_departed_at,
        return_arrived_at
    from judged
)

select * from final
