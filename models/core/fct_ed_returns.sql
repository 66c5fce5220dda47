-- One row per index visit (an unplanned ED stay that ended in discharge home) and its return.
with pairs as (
    select * from {{ ref('int_ed_stays__returns') }}
),

stays as (
    select * from {{ ref('int_ed_stays__outcomes') }}
),

headline as (
    select max(window_hours) * 3600 as window_seconds
    from {{ ref('ed_return_measures') }}
    where is_headline
),

-- Few index visits have a return: these alone are looked up.
returned as (
    select
        pairs.stay_key as index_stay_key,
        stays.*
    from pairs
    inner join stays on pairs.return_stay_key = stays.stay_key
),

joined as (
    select
        index_stays.index_visit_key,
        return_stays.stay_key as return_visit_key,
        index_stays.person_key,
        index_stays.last_hospital_key as hospital_key,
        return_stays.hospital_key as return_hospital_key,
        index_stays.index_diagnosis_code,
        index_stays.index_complaint_code,
        return_stays.main_diagnosis_code as return_diagnosis_code,
        return_stays.outcome_code as return_outcome_code,
        index_stays.index_age_years,
        return_stays.age_years as return_age_years,
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
    from stays as index_stays
    cross join headline
    left join returned as return_stays on index_stays.stay_key = return_stays.index_stay_key
    where index_stays.is_index
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
