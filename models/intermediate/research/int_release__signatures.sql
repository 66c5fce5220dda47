-- One row per person with a stay that may be released: what each level would show of the history.
-- Columns are written by loops over levels and stays: their indent is that of the result.
-- noqa: disable=layout.indent
with persons as (
    select * from {{ ref('int_release__persons') }}
),

visits as (
    select * from {{ ref('int_release__visits') }}
),

{% for number in range(1, release_setting('maximum_stays') + 1) -%}
visit_{{ number }} as (
    select * from visits
    where stay_number = {{ number }}
),

{% endfor -%}
final as (
    select
        {%- for level in release_levels() %}
        {{ release_signature(level) }} as signature_{{ loop.index }},
        {%- endfor %}
        persons.person_key
    from persons
    {%- for number in range(1, release_setting('maximum_stays') + 1) %}
    left join visit_{{ number }}
        on persons.person_key = visit_{{ number }}.person_key
    {%- endfor %}
)

select * from final
