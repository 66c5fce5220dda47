{#- The details of a visit that any level shows. -#}
{% macro release_details_shown() %}
    {%- set shown = [] -%}
    {%- for detail in ("acuity", "arrival_mode", "length_of_stay", "peer_group") -%}
        {%- for level in release_levels() if detail in level["shows"] and detail not in shown -%}
            {%- do shown.append(detail) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- do return(shown) -%}
{% endmacro %}

{#- The columns of int_release__visits that any level shows: what a visit may look like. -#}
{% macro release_look_columns() %}
    {%- set columns = ["every_codes", "ccsr_codes", "chapter_codes", "none_codes"] -%}
    {%- for detail in release_details_shown() -%}
        {%- do columns.append(release_detail_column(detail)) -%}
    {%- endfor -%}
    {%- do return(columns) -%}
{% endmacro %}

{#- The column that holds a detail of a visit. -#}
{% macro release_detail_column(detail) -%}
    {{ detail }}_{{ "band" if detail == "length_of_stay" else "code" }}
{%- endmacro %}
