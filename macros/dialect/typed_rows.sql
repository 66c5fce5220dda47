{#- A select of literal rows, each column cast to its type; a typed empty relation for no rows.

    columns: a mapping of name to type; rows: a list of lists in the order of the columns. -#}
{% macro typed_rows(columns, rows) %}
    {%- set names = columns.keys() | list -%}
    {%- for row in [none] + rows %}
    {%- if not loop.first %}
    union all
    {%- endif %}
    select
        {%- for name in names %}
        cast({{ "null" if row is none else sql_literal(row[loop.index0]) }} as {{ columns[name] }}) as {{ name }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    {%- if row is none %}
    where false
    {%- endif %}
    {%- endfor %}
{% endmacro %}

{#- A value as an SQL literal. Spark reads backslash escapes inside quotes, DuckDB does not. -#}
{% macro sql_literal(value) %}
    {%- if value is none -%}
        null
    {%- elif value is boolean or value is number -%}
        {{- value | string | lower -}}
    {%- elif target.type == "spark" -%}
        {{- "'" ~ value | replace("\\", "\\\\") | replace("'", "\\'") ~ "'" -}}
    {%- else -%}
        {{- "'" ~ value | replace("'", "''") ~ "'" -}}
    {%- endif -%}
{% endmacro %}
