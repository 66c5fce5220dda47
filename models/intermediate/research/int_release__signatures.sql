-- One row per person with a stay that may be released: what each level would show of the history,
-- as a number that is the same for persons who look the same.
--
-- Ten whole texts a person were more than fits into memory: visits and attributes are numbers here,
-- and persons of whom everything is the same are one pattern until the end.
-- Columns are written by loops over levels and stays: their indent is that of the result.
-- noqa: disable=layout.indent
{%- set stays = range(1, release_setting('maximum_stays') + 1) %}
with persons as (
    select
        person_key,
        sex_code || '#' || age_band || '#' || coalesce(cast(visit_year as string), '')
            as attributes,
        zip3,
        observation_end_band,
        stays_count
    from {{ ref('int_release__persons') }}
),

visits as (
    select * from {{ ref('int_release__visits') }}
),

person_looks as (
    select * from {{ ref('int_release__person_looks') }}
),

visit_looks as (
    select * from {{ ref('int_release__visit_looks') }}
),

histories as (
    select
        visits.person_key
        {%- for number in stays %},
        max(case when visits.stay_number = {{ number }} then visit_looks.look_number end)
            as look_{{ number }}
        {%- endfor %}
    from visits
    inner join visit_looks
        on
            coalesce(visits.interval_band, 'first') = visit_looks.interval_band
            {%- for column in release_look_columns() %}
            and visits.{{ column }} = visit_looks.{{ column }}
            {%- endfor %}
    group by visits.person_key
),

numbered as (
    select
        persons.person_key,
        person_looks.look_number as look_0
        {%- for number in stays %},
        coalesce(histories.look_{{ number }}, 0) as look_{{ number }}
        {%- endfor %}
    from persons
    inner join person_looks
        on
            persons.attributes = person_looks.attributes
            and persons.zip3 = person_looks.zip3
            and persons.observation_end_band = person_looks.observation_end_band
            and persons.stays_count = person_looks.stays_count
    left join histories
        on persons.person_key = histories.person_key
),

patterns as (
    select
        look_0,
        {%- for number in stays %}
        look_{{ number }},
        {%- endfor %}
        row_number() over (
            order by
                look_0 asc nulls last
                {%- for number in stays %},
                look_{{ number }} asc nulls last
                {%- endfor %}
        ) as pattern_number
    from numbered
    group by
        look_0
        {%- for number in stays %},
        look_{{ number }}
        {%- endfor %}
),

signed as (
    select
        {%- for level in release_levels() %}
        {%- set column = "level_" ~ loop.index %}
        min(patterns.pattern_number) over (
            partition by
                person_looks.{{ column }}
                {%- for number in stays if number <= level["stays"] %},
                looks_{{ number }}.{{ column }}
                {%- endfor %}
        ) as signature_{{ loop.index }},
        {%- endfor %}
        patterns.look_0
        {%- for number in stays %},
        patterns.look_{{ number }}
        {%- endfor %}
    from patterns
    inner join person_looks
        on patterns.look_0 = person_looks.look_number
    {%- for number in stays %}
    left join visit_looks as looks_{{ number }}
        on patterns.look_{{ number }} = looks_{{ number }}.look_number
    {%- endfor %}
),

final as (
    select
        {%- for level in release_levels() %}
        signed.signature_{{ loop.index }},
        {%- endfor %}
        numbered.person_key
    from numbered
    inner join signed
        on
            numbered.look_0 = signed.look_0
            {%- for number in stays %}
            and numbered.look_{{ number }} = signed.look_{{ number }}
            {%- endfor %}
)

select * from final
