-- One row per leg: an ED visit after its double registrations are joined, and how it ended. Its
-- main diagnosis is that of the registration which left last among those that have one.
{{ config(materialized='view') }}

with registrations as (
    select * from {{ ref('int_ed_visits__legs') }}
),

dispositions as (
    select * from {{ ref('ed_disposition_rules') }}
),

-- Most legs are one registration, and nothing of it need be chosen.
legs as (
    select
        leg_key,
        person_key,
        hospital_key,
        lone_key,
        ed_visit_key as last_visit_key,
        complaint_code,
        disposition_code,
        main_diagnosis_code,
        is_planned,
        is_departure_known,
        arrived_on,
        arrived_at,
        effective_departed_at as departed_at
    from registrations
    where not is_joined
    union all
    select
        leg_key,
        min(person_key) as person_key,
        min(hospital_key) as hospital_key,
        min(lone_key) as lone_key,
        min(case when leaving_rank = 1 then ed_visit_key end) as last_visit_key,
        min(case when leaving_rank = 1 then complaint_code end) as complaint_code,
        min(case when leaving_rank = 1 then disposition_code end) as disposition_code,
        min_by(
            main_diagnosis_code,
            case when main_diagnosis_code is not null then leaving_rank end
        ) as main_diagnosis_code,
        bool_or(ed_visit_key = leg_key and is_planned) as is_planned,
        bool_or(leaving_rank = 1 and is_departure_known) as is_departure_known,
        min(case when ed_visit_key = leg_key then arrived_on end) as arrived_on,
        min(arrived_at) as arrived_at,
        max(effective_departed_at) as departed_at
    from registrations
    where is_joined
    group by leg_key
),

final as (
    select
        legs.leg_key,
        legs.person_key,
        legs.hospital_key,
        legs.lone_key,
        legs.last_visit_key,
        legs.complaint_code,
        legs.disposition_code,
        legs.main_diagnosis_code,
        case
            when legs.disposition_code is null then 'open'
            when dispositions.disposition_code is null then 'other_disposition'
            else dispositions.exclusion_code
        end as exclusion_code,
        legs.is_planned,
        legs.is_departure_known,
        coalesce(dispositions.can_be_index, false) as can_be_index,
        -- An open visit is a return already: how it will end is not known yet.
        coalesce(dispositions.can_be_return, true) as can_be_return,
        coalesce(dispositions.is_admission, false) as is_admission,
        coalesce(dispositions.is_transfer, false) as is_transfer,
        coalesce(dispositions.is_death, false) as is_death,
        legs.arrived_on,
        legs.arrived_at,
        legs.departed_at
    from legs
    left join dispositions on legs.disposition_code = dispositions.disposition_code
)

select * from final
