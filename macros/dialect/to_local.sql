{#- An instant in UTC as the reading of a clock in an IANA time zone. -#}
{% macro to_local(instant, time_zone) %}
    {%- if target.type == "spark" -%}
        from_utc_timestamp({{ instant }}, {{ time_zone }})
    {%- else -%}
        (({{ instant }} at time zone 'UTC') at time zone {{ time_zone }})
    {%- endif -%}
{% endmacro %}
