{#- Calendar days from one date to another; negative where the second is the earlier. -#}
{% macro day_diff(from_date, to_date) %}
    {%- call lowered("day_diff") -%}
    {%- if target.type == "spark" -%}
        datediff({{ to_date }}, {{ from_date }})
    {%- else -%}
        cast(date_diff('day', {{ from_date }}, {{ to_date }}) as int)
    {%- endif -%}
    {%- endcall -%}
{% endmacro %}
