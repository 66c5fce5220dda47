{#- All that a level shows of a person, in one text: persons with the same text look the same. Reads
    `persons`, and visit_1, visit_2 ... (null where there is none).

    The number of stays is in it, and that more were cut off: an absence is an attribute too. -#}
{% macro release_signature(level) -%}
    '{{ level["diagnoses"] }}#' || persons.sex_code || '#' || persons.age_band
    || '#' || coalesce(cast(persons.visit_year as string), '')
    || '#' || {% if "area" in level["shows"] %}persons.zip3{% else %}'000'{% endif %}
    || '#' || {% if "observation" in level["shows"] -%}
        persons.observation_end_band
    {%- else -%}
        'withheld'
    {%- endif %}
    || '#' || case when persons.stays_count > {{ level["stays"] }} then 'cut' else '' end
    {%- for number in range(1, level["stays"] + 1) %}
    || '#' || {% if number == 1 %}'first'{% else -%}
        coalesce(visit_{{ number }}.interval_band, '')
    {%- endif %}
    || '|' || coalesce(visit_{{ number }}.{{ level["diagnoses"] }}_codes, '')
        {%- for shown in ("acuity", "arrival_mode", "length_of_stay", "peer_group") %}
            {%- if shown in level["shows"] %}
    || '|' || coalesce(visit_{{ number }}.{{ release_detail_column(shown) }}, '')
            {%- endif %}
        {%- endfor %}
    {%- endfor %}
{%- endmacro %}

{#- The column that holds a detail of a visit. -#}
{% macro release_detail_column(detail) -%}
    {{ detail }}_{{ "band" if detail == "length_of_stay" else "code" }}
{%- endmacro %}
