-- One row per released ED stay and diagnosis group: the CCSR category where enough persons bear it,
-- else the chapter where enough of the rest do, else one pool; a pool of few is left out.
with visits as (
    select * from {{ ref('release_ed_visits') }}
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

released as (
    select
        visits.visit_key,
        visits.person_key,
        codes.ccsr_code,
        codes.ccsr_name,
        codes.chapter_code,
        codes.chapter_name,
        diagnoses.is_main
    from visits
    inner join ed_visits
        on visits.visit_key = ed_visits.stay_key
    inner join diagnoses
        on ed_visits.ed_visit_key = diagnoses.encounter_key
    inner join codes
        on diagnoses.diagnosis_code = codes.diagnosis_code
),

ccsr_groups as (
    select ccsr_code from released
    where ccsr_code is not null
    group by ccsr_code
    having count(distinct person_key) >= {{ var('release_minimum_class_size') }}
),

-- A chapter holds what no released category of it holds.
chapter_groups as (
    select released.chapter_code
    from released
    left join ccsr_groups
        on released.ccsr_code = ccsr_groups.ccsr_code
    where ccsr_groups.ccsr_code is null
    group by released.chapter_code
    having count(distinct released.person_key) >= {{ var('release_minimum_class_size') }}
),

grouped as (
    select
        released.visit_key,
        released.person_key,
        case
            when ccsr_groups.ccsr_code is not null then 'ccsr'
            when chapter_groups.chapter_code is not null then 'chapter'
            else 'pooled'
        end as group_level_code,
        coalesce(ccsr_groups.ccsr_code, chapter_groups.chapter_code, 'other') as group_code,
        case
            when ccsr_groups.ccsr_code is not null then released.ccsr_name
            when chapter_groups.chapter_code is not null then released.chapter_name
            else 'Other diagnoses'
        end as group_name,
        released.is_main
    from released
    left join ccsr_groups
        on released.ccsr_code = ccsr_groups.ccsr_code
    left join chapter_groups
        on released.chapter_code = chapter_groups.chapter_code
),

pooled_persons as (
    select count(distinct person_key) as persons_count from grouped
    where group_level_code = 'pooled'
),

final as (
    select
        grouped.visit_key,
        grouped.person_key,
        grouped.group_level_code,
        grouped.group_code,
        min(grouped.group_name) as group_name,
        bool_or(grouped.is_main) as is_main
    from grouped
    cross join pooled_persons
    where
        grouped.group_level_code <> 'pooled'
        or pooled_persons.persons_count >= {{ var('release_minimum_class_size') }}
    group by
        grouped.visit_key, grouped.person_key, grouped.group_level_code, grouped.group_code
)

select * from final
