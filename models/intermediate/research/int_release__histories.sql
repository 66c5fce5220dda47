-- One row per released person: how much of the history is shown.
--
-- Somebody who knows a person's attributes and intervals must not learn the diagnoses: where all
-- who share those have the same ones, none of them is shown any.
-- sqlfluff:indentation:template_blocks_indent:false
with placements as (
    select * from {{ ref('int_release__placements') }}
    where level_number is not null
),

persons as (
    select * from {{ ref('int_release__persons') }}
),

visits as (
    select * from {{ ref('int_release__visits') }}
),

shown as (
    select
        placements.person_key,
        placements.signature,
        placements.level_number,
        persons.sex_code,
        persons.age_band,
        persons.visit_year,
        persons.stays_count,
        case
            {%- for level in release_levels() %}
            when placements.level_number = {{ loop.index }} then '{{ level["diagnoses"] }}'
            {%- endfor %}
        end as diagnoses_code,
        case
            {%- for level in release_levels() %}
            when placements.level_number = {{ loop.index }} then {{ level["stays"] }}
            {%- endfor %}
        end as stays_limit
    from placements
    inner join persons
        on placements.person_key = persons.person_key
),

told as (
    select
        shown.person_key,
        {{ string_agg_ordered(
            "coalesce(visits.interval_band, 'first')", "#", "visits.stay_number"
        ) }} as intervals,
        {{ string_agg_ordered(
            "case shown.diagnoses_code"
            ~ " when 'every' then visits.every_codes"
            ~ " when 'ccsr' then visits.ccsr_codes"
            ~ " when 'chapter' then visits.chapter_codes"
            ~ " else '' end",
            "#", "visits.stay_number"
        ) }} as diagnoses
    from shown
    inner join visits
        on
            shown.person_key = visits.person_key
            and shown.stays_limit >= visits.stay_number
    group by shown.person_key
),

diverse as (
    select
        shown.sex_code,
        shown.age_band,
        coalesce(shown.visit_year, 0) as visit_year,
        told.intervals,
        count(distinct told.diagnoses) as kinds_count
    from shown
    inner join told
        on shown.person_key = told.person_key
    group by shown.sex_code, shown.age_band, coalesce(shown.visit_year, 0), told.intervals
),

final as (
    select
        shown.person_key,
        shown.signature
        || case when diverse.kinds_count < 2 then '#none' else '' end as class_code,
        case when diverse.kinds_count < 2 then 'none' else shown.diagnoses_code end
            as diagnoses_code,
        shown.level_number,
        cast(least(shown.stays_limit, shown.stays_count) as int) as stays_shown,
        shown.stays_count > shown.stays_limit as is_cut
    from shown
    inner join told
        on shown.person_key = told.person_key
    inner join diverse
        on
            shown.sex_code = diverse.sex_code
            and shown.age_band = diverse.age_band
            and coalesce(shown.visit_year, 0) = diverse.visit_year
            and told.intervals = diverse.intervals
)

select * from final
