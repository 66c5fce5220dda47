-- One row per rule, in the order in which they are applied: what there was before it and after it.
with whole_stays as (
    select
        stay_key,
        person_key
    from {{ ref('int_release__whole_stays') }}
),

eligible_stays as (
    select stay_key from {{ ref('int_release__eligible_stays') }}
),

first_stays as (
    select stay_key from {{ ref('int_release__stays') }}
),

kept_diagnoses as (
    select stay_key from {{ ref('int_release__diagnoses') }}
),

released_visits as (
    select visit_key from {{ ref('release_ed_visits') }}
),

stages as (
    select
        1 as stage_number,
        count(distinct person_key) as persons_count,
        count(*) as stays_count
    from whole_stays
    union all
    select
        2 as stage_number,
        count(distinct whole_stays.person_key) as persons_count,
        count(*) as stays_count
    from whole_stays
    inner join eligible_stays
        on whole_stays.stay_key = eligible_stays.stay_key
    union all
    select
        3 as stage_number,
        count(distinct whole_stays.person_key) as persons_count,
        count(*) as stays_count
    from whole_stays
    inner join first_stays
        on whole_stays.stay_key = first_stays.stay_key
    union all
    select
        4 as stage_number,
        count(distinct whole_stays.person_key) as persons_count,
        count(*) as stays_count
    from whole_stays
    inner join first_stays
        on whole_stays.stay_key = first_stays.stay_key
    union all
    select
        5 as stage_number,
        count(distinct whole_stays.person_key) as persons_count,
        count(*) as stays_count
    from whole_stays
    inner join released_visits
        on whole_stays.stay_key = released_visits.visit_key
),

diagnoses as (
    select
        1 as stage_number,
        count(*) as diagnoses_count
    from {{ ref('int_release__stay_diagnoses') }}
    union all
    select
        2 as stage_number,
        count(*) as diagnoses_count
    from {{ ref('int_release__stay_diagnoses') }} as borne
    inner join eligible_stays
        on borne.stay_key = eligible_stays.stay_key
    union all
    select
        3 as stage_number,
        count(*) as diagnoses_count
    from {{ ref('int_release__stay_diagnoses') }} as borne
    inner join first_stays
        on borne.stay_key = first_stays.stay_key
    union all
    select
        4 as stage_number,
        count(*) as diagnoses_count
    from kept_diagnoses
    union all
    select
        5 as stage_number,
        count(*) as diagnoses_count
    from {{ ref('release_diagnoses') }}
),

rules as (
    {{ typed_rows(
        {"rule_number": "int", "rule_code": "string"},
        [
            [1, "person_sample"],
            [2, "first_stays"],
            [3, "first_diagnoses"],
            [4, "small_classes"],
        ],
    ) }}
),

final as (
    select
        rules.rule_number,
        rules.rule_code,
        cast(stages.persons_count as bigint) as persons_before,
        cast(later_stages.persons_count as bigint) as persons_after,
        cast(stages.stays_count as bigint) as stays_before,
        cast(later_stages.stays_count as bigint) as stays_after,
        cast(diagnoses.diagnoses_count as bigint) as diagnoses_before,
        cast(later_diagnoses.diagnoses_count as bigint) as diagnoses_after
    from rules
    inner join stages
        on rules.rule_number = stages.stage_number
    inner join stages as later_stages
        on rules.rule_number + 1 = later_stages.stage_number
    inner join diagnoses
        on rules.rule_number = diagnoses.stage_number
    inner join diagnoses as later_diagnoses
        on rules.rule_number + 1 = later_diagnoses.stage_number
)

select * from final
