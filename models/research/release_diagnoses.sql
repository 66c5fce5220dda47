-- One row per released ED stay and diagnosis group, as finely as enough others with the same
-- history share it.
with histories as (
    select * from {{ ref('int_release__histories') }}
),

visits as (
    select * from {{ ref('release_ed_visits') }}
),

diagnoses as (
    select * from {{ ref('int_release__diagnoses') }}
),

shown as (
    select
        visits.visit_key,
        visits.person_key,
        case
            when histories.diagnoses_code = 'chapter' then diagnoses.chapter_level_code
            else diagnoses.fine_level_code
        end as group_level_code,
        case
            when histories.diagnoses_code = 'chapter' then diagnoses.chapter_code
            else diagnoses.fine_code
        end as group_code,
        case
            when histories.diagnoses_code = 'chapter' then diagnoses.chapter_name
            else diagnoses.fine_name
        end as group_name,
        diagnoses.is_main
    from visits
    inner join histories
        on visits.person_key = histories.person_key
    inner join diagnoses
        on visits.visit_key = diagnoses.stay_key
    where
        histories.diagnoses_code = 'every'
        or (histories.diagnoses_code in ('ccsr', 'chapter') and diagnoses.is_main)
),

final as (
    select
        visit_key,
        person_key,
        group_level_code,
        group_code,
        min(group_name) as group_name,
        bool_or(is_main) as is_main
    from shown
    group by visit_key, person_key, group_level_code, group_code
)

select * from final
