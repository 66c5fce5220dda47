-- One row per ED stay that may be released and diagnosis group, the first few groups of a person:
-- as CCSR category where enough persons bear it, else as chapter, else as one pool.
with stays as (
    select * from {{ ref('int_release__stays') }}
),

diagnoses as (
    select * from {{ ref('int_release__stay_diagnoses') }}
),

borne as (
    select
        diagnoses.stay_key,
        stays.person_key,
        stays.stay_number,
        diagnoses.group_code,
        diagnoses.ccsr_code,
        diagnoses.ccsr_name,
        diagnoses.chapter_code,
        diagnoses.chapter_name,
        diagnoses.is_main
    from diagnoses
    inner join stays
        on diagnoses.stay_key = stays.stay_key
),

first_seen as (
    select
        person_key,
        group_code,
        min(stay_number * 2 - case when is_main then 1 else 0 end) as seen_rank
    from borne
    group by person_key, group_code
),

-- The long tail of a history is what tells it apart: a person bears so many groups and no more.
capped as (
    select
        person_key,
        group_code
    from first_seen
    qualify row_number() over (
        partition by person_key order by seen_rank asc nulls last, group_code asc nulls last
    ) <= {{ release_setting('maximum_diagnoses') }}
),

kept as (
    select
        borne.stay_key,
        borne.person_key,
        borne.stay_number,
        borne.ccsr_code,
        borne.ccsr_name,
        borne.chapter_code,
        borne.chapter_name,
        borne.is_main
    from borne
    inner join capped
        on
            borne.person_key = capped.person_key
            and borne.group_code = capped.group_code
),

ccsr_groups as (
    select ccsr_code from kept
    where ccsr_code is not null
    group by ccsr_code
    having count(distinct person_key) >= {{ release_setting('minimum_class_size') }}
),

chapter_groups as (
    select chapter_code from kept
    where chapter_code is not null
    group by chapter_code
    having count(distinct person_key) >= {{ release_setting('minimum_class_size') }}
),

final as (
    select
        kept.stay_key,
        kept.person_key,
        kept.stay_number,
        case
            when ccsr_groups.ccsr_code is not null then 'ccsr'
            when chapter_groups.chapter_code is not null then 'chapter'
            else 'pooled'
        end as fine_level_code,
        coalesce(ccsr_groups.ccsr_code, chapter_groups.chapter_code, 'other') as fine_code,
        case
            when ccsr_groups.ccsr_code is not null then kept.ccsr_name
            when chapter_groups.chapter_code is not null then kept.chapter_name
            else 'Other diagnoses'
        end as fine_name,
        case
            when chapter_groups.chapter_code is not null then 'chapter' else 'pooled'
        end as chapter_level_code,
        coalesce(chapter_groups.chapter_code, 'other') as chapter_code,
        case
            when chapter_groups.chapter_code is not null then kept.chapter_name
            else 'Other diagnoses'
        end as chapter_name,
        kept.is_main
    from kept
    left join ccsr_groups
        on kept.ccsr_code = ccsr_groups.ccsr_code
    left join chapter_groups
        on kept.chapter_code = chapter_groups.chapter_code
)

select * from final
