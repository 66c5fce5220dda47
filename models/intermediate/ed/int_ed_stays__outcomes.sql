-- One row per stay: how it began, how its last leg ended, and what it may be: index, return, both.
-- Its main diagnosis is the discharge diagnosis of the inpatient encounter it led to, else the ED
-- diagnosis of the last leg that has one.
with legs as (
    select * from {{ ref('int_ed_legs__stays') }}
),

discharge_diagnoses as (
    select * from {{ ref('int_ed_stays__discharge_diagnoses') }}
),

-- Most stays are one leg, and nothing of it need be chosen.
stays as (
    select
        stay_key,
        person_key,
        hospital_key,
        hospital_key as last_hospital_key,
        last_visit_key as index_visit_key,
        complaint_code as index_complaint_code,
        main_diagnosis_code as index_diagnosis_code,
        disposition_code as last_disposition_code,
        main_diagnosis_code as ed_diagnosis_code,
        age_years,
        age_years as index_age_years,
        follow_up_seconds,
        is_stay_planned as is_planned,
        is_admission as is_admitted,
        can_be_index,
        can_be_return,
        is_departure_known,
        arrived_month_on as index_month_on,
        arrived_at as started_at,
        arrived_at as index_arrived_at,
        departed_at as index_departed_at
    from legs
    where stay_key = leg_key and is_last_leg
    union all
    select
        stay_key,
        min(person_key) as person_key,
        min(case when leg_key = stay_key then hospital_key end) as hospital_key,
        min(case when is_last_leg then hospital_key end) as last_hospital_key,
        min(case when is_last_leg then last_visit_key end) as index_visit_key,
        min(case when is_last_leg then complaint_code end) as index_complaint_code,
        min(case when is_last_leg then main_diagnosis_code end) as index_diagnosis_code,
        min(case when is_last_leg then disposition_code end) as last_disposition_code,
        max_by(
            main_diagnosis_code,
            case when main_diagnosis_code is not null then leg_number end
        ) as ed_diagnosis_code,
        min(case when leg_key = stay_key then age_years end) as age_years,
        min(case when is_last_leg then age_years end) as index_age_years,
        min(case when is_last_leg then follow_up_seconds end) as follow_up_seconds,
        bool_or(is_stay_planned) as is_planned,
        bool_or(is_admission) as is_admitted,
        bool_or(is_last_leg and can_be_index) as can_be_index,
        bool_or(is_last_leg and can_be_return) as can_be_return,
        bool_or(is_last_leg and is_departure_known) as is_departure_known,
        min(case when is_last_leg then arrived_month_on end) as index_month_on,
        min(arrived_at) as started_at,
        min(case when is_last_leg then arrived_at end) as index_arrived_at,
        min(case when is_last_leg then departed_at end) as index_departed_at
    from legs
    where stay_key <> leg_key or not is_last_leg
    group by stay_key
),

final as (
    select
        stays.stay_key,
        stays.person_key,
        stays.hospital_key,
        stays.last_hospital_key,
        stays.index_visit_key,
        stays.index_complaint_code,
        stays.index_diagnosis_code,
        coalesce(
            discharge_diagnoses.discharge_diagnosis_code, stays.ed_diagnosis_code
        ) as main_diagnosis_code,
        case
            when stays.is_admitted then 'admitted'
            else coalesce(stays.last_disposition_code, 'unknown')
        end as outcome_code,
        stays.age_years,
        stays.index_age_years,
        stays.follow_up_seconds,
        stays.is_planned,
        stays.is_admitted,
        stays.is_departure_known,
        stays.person_key is not null
        and stays.started_at is not null
        and not stays.is_planned
        and stays.can_be_index
        and stays.is_departure_known as is_index,
        stays.person_key is not null
        and stays.started_at is not null
        and not stays.is_planned
        and stays.can_be_return as is_return_candidate,
        stays.index_month_on,
        stays.started_at,
        stays.index_arrived_at,
        stays.index_departed_at
    from stays
    left join discharge_diagnoses on stays.stay_key = discharge_diagnoses.stay_key
)

select * from final
