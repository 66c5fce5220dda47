-- One row per released person: how much of the history is shown.
--
-- Somebody who knows a person's attributes and intervals must not learn the diagnoses: where all
-- who share those have the same ones, none of them is shown any.
-- Columns are written by loops over levels and stays: their indent is that of the result.
-- noqa: disable=layout.indent
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
        shown.sex_code,
        shown.age_band,
        coalesce(shown.visit_year, 0) as visit_year
        {%- for number in range(1, release_setting('maximum_stays') + 1) %},
        max(
            case
                when visits.stay_number = {{ number }} then coalesce(visits.interval_band, 'first')
            end
        ) as interval_{{ number }},
        max(
            case
                when visits.stay_number = {{ number }}
                    then
                        case shown.diagnoses_code
                            when 'every' then visits.every_codes
                            when 'ccsr' then visits.ccsr_codes
                            when 'chapter' then visits.chapter_codes
                            else ''
                        end
            end
        ) as diagnoses_{{ number }}
        {%- endfor %}
    from shown
    inner join visits
        on
            shown.person_key = visits.person_key
            and shown.stays_limit >= visits.stay_number
    group by
        shown.person_key, shown.sex_code, shown.age_band, coalesce(shown.visit_year, 0)
),

alike as (
    select
        person_key,
        {%- for number in range(1, release_setting('maximum_stays') + 1) %}
        {{ "" if loop.first else "or " }}coalesce(
            min(diagnoses_{{ number }}) over same <> max(diagnoses_{{ number }}) over same, false
        )
        {%- endfor %} as is_diverse
    from told
    window same as (
        partition by
            sex_code,
            age_band,
            visit_year
            {%- for number in range(1, release_setting('maximum_stays') + 1) %},
            interval_{{ number }}
            {%- endfor %}
    )
),

final as (
    select
        shown.person_key,
        cast(shown.level_number as string) || '#' || cast(shown.signature as string)
        || case when alike.is_diverse then '' else '#none' end as class_code,
        case when alike.is_diverse then shown.diagnoses_code else 'none' end as diagnoses_code,
        shown.level_number,
        cast(least(shown.stays_limit, shown.stays_count) as int) as stays_shown,
        shown.stays_count > shown.stays_limit as is_cut
    from shown
    inner join alike
        on shown.person_key = alike.person_key
)

select * from final
