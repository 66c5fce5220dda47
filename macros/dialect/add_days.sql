{#- A date some calendar days later (or earlier, for a negative number). -#}
{% macro add_days(from_date, days) %}
    {%- if target.type == "spark" -%}
        date_add({{ from_date }}, {{ days }})
    {%- else -%}
        ({{ from_date }} + {{ days }})
    {%- endif -%}
{% endmacro %}
