{#- Instants are UTC `timestamp`s with microseconds; elapsed time is counted between instants, never
    between clock readings: a day in which the clocks change has 23 or 25 hours. -#}

{#- Microseconds since 1970-01-01 00:00 UTC. -#}
{% macro epoch_us(instant) %}{{ return(adapter.dispatch("epoch_us")(instant)) }}{% endmacro %}
{% macro default__epoch_us(instant) %}epoch_us({{ instant }}){% endmacro %}
{% macro spark__epoch_us(instant) %}unix_micros({{ instant }}){% endmacro %}

{#- How often one whole number goes into another, towards zero. A plain `/` gives a decimal on one
    engine and a double on the other, and a cast of that rounds on one and cuts on the other. -#}
{% macro whole_quotient(dividend, divisor) %}
    {{- return(adapter.dispatch("whole_quotient")(dividend, divisor)) -}}
{% endmacro %}
{% macro default__whole_quotient(dividend, divisor) -%}
    cast(({{ dividend }}) // {{ divisor }} as bigint)
{%- endmacro %}
{% macro spark__whole_quotient(dividend, divisor) -%}
    cast(({{ dividend }}) div {{ divisor }} as bigint)
{%- endmacro %}

{#- Seconds from one instant to a later one, a begun second counting as whole. The direction is what
    makes a limit exact: half a second past 72 hours is past 72 hours. -#}
{% macro elapsed_seconds(start_at, end_at) -%}
    {%- call lowered("elapsed_seconds") -%}
    {{ whole_quotient(epoch_us(end_at) ~ " - " ~ epoch_us(start_at) ~ " + 999999", 1000000) }}
    {%- endcall -%}
{%- endmacro %}

{#- Seconds, or minutes, from one instant to a later one that have passed completely. -#}
{% macro completed_seconds(start_at, end_at) -%}
    {%- call lowered("completed_seconds") -%}
    {{ whole_quotient(epoch_us(end_at) ~ " - " ~ epoch_us(start_at), 1000000) }}
    {%- endcall -%}
{%- endmacro %}
{% macro completed_minutes(start_at, end_at) -%}
    {%- call lowered("completed_minutes") -%}
    {{ whole_quotient(epoch_us(end_at) ~ " - " ~ epoch_us(start_at), 60000000) }}
    {%- endcall -%}
{%- endmacro %}

{#- Full hours since 1970-01-01 00:00 UTC that an instant has reached; one between two counts as the
    later. And the instant of such an hour. -#}
{% macro next_full_hour(instant) -%}
    {{ whole_quotient(epoch_us(instant) ~ " + 3599999999", 3600000000) }}
{%- endmacro %}
{% macro instant_of_hour(hour_number) %}{{ return(adapter.dispatch("instant_of_hour")(hour_number)) }}{% endmacro %}
{% macro default__instant_of_hour(hour_number) -%}
    make_timestamp({{ hour_number }} * 3600000000)
{%- endmacro %}
{% macro spark__instant_of_hour(hour_number) -%}
    timestamp_micros({{ hour_number }} * 3600000000)
{%- endmacro %}
