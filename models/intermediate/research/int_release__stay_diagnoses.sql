-- One row per ED stay and diagnosis group: the CCSR category, or the chapter where there is none.
-- One group of a stay is its main one, also where two registrations of it name one each.
with stays as (
    select * from {{ ref('int_release__whole_stays') }}
),

ed_visits as (
    select * from {{ ref('fct_ed_visits') }}
),

diagnoses as (
    select * from {{ ref('fct_diagnoses') }}
),

codes as (
    select * from {{ ref('dim_diagnoses') }}
),

groups as (
    select
        stays.stay_key,
        coalesce(codes.ccsr_code, codes.chapter_code) as group_code,
        min(codes.ccsr_code) as ccsr_code,
        min(codes.ccsr_name) as ccsr_name,
        min(codes.chapter_code) as chapter_code,
        min(codes.chapter_name) as chapter_name,
        max(case when diagnoses.is_main then 1 else 0 end) as main_weight
    from stays
    inner join ed_visits
        on stays.stay_key = ed_visits.stay_key
    inner join diagnoses
        on ed_visits.ed_visit_key = diagnoses.encounter_key
    inner join codes
        on diagnoses.diagnosis_code = codes.diagnosis_code
    group by stays.stay_key, coalesce(codes.ccsr_code, codes.chapter_code)
),

final as (
    select
        stay_key,
        group_code,
        ccsr_code,
        ccsr_name,
        chapter_code,
        chapter_name,
        main_weight = 1
        and row_number() over (
            partition by stay_key
            order by main_weight desc nulls last, group_code asc nulls last
        ) = 1 as is_main
    from groups
)

select * from final
