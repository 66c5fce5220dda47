{#- The value begins with the prefix; null where either is null. -#}
{% macro starts_with(value, prefix) %}
    {{- return(adapter.dispatch("starts_with")(value, prefix)) -}}
{% endmacro %}
{% macro default__starts_with(value, prefix) -%}
    starts_with({{ value }}, {{ prefix }})
{%- endmacro %}
{% macro spark__starts_with(value, prefix) -%}
    startswith({{ value }}, {{ prefix }})
{%- endmacro %}

{#- The value has a part that matches the regular expression. -#}
{% macro regexp_matches(value, pattern) %}
    {{- return(adapter.dispatch("regexp_matches")(value, pattern)) -}}
{% endmacro %}
{% macro default__regexp_matches(value, pattern) -%}
    regexp_matches({{ value }}, {{ pattern }})
{%- endmacro %}
{% macro spark__regexp_matches(value, pattern) -%}
    regexp_like({{ value }}, {{ pattern }})
{%- endmacro %}

{#- SHA-256 in hexadecimal. -#}
{% macro sha256(value) %}{{ return(adapter.dispatch("sha256")(value)) }}{% endmacro %}
{% macro default__sha256(value) %}sha256({{ value }}){% endmacro %}
{% macro spark__sha256(value) %}sha2({{ value }}, 256){% endmacro %}

{#- The values of a group in one text, in the order of another column. Nulls are left out. -#}
{% macro string_agg_ordered(value, separator, order_by) %}
    {{- return(adapter.dispatch("string_agg_ordered")(value, separator, order_by)) -}}
{% endmacro %}
{% macro default__string_agg_ordered(value, separator, order_by) -%}
    string_agg({{ value }}, '{{ separator }}' order by {{ order_by }})
{%- endmacro %}
{% macro spark__string_agg_ordered(value, separator, order_by) -%}
    listagg({{ value }}, '{{ separator }}') within group (order by {{ order_by }})
{%- endmacro %}
