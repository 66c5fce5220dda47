{#- Seeds on Spark. The adapter's own way pastes values into the statement: an empty field becomes the
    text 'None' and an apostrophe ends the literal. Written out as literals they stay what they are. -#}
{% macro spark__load_csv_rows(model, agate_table) %}
    {%- set types = model.config.get("column_types", {}) -%}
    {%- set statements = [] -%}
    {%- for rows in agate_table.rows | batch(1000) -%}
        {%- set tuples = [] -%}
        {%- for row in rows -%}
            {%- set values = [] -%}
            {%- for name in agate_table.column_names -%}
                {%- set type = types.get(name, adapter.convert_type(agate_table, loop.index0)) -%}
                {%- do values.append(
                    "cast(" ~ sql_literal(row[name]) ~ " as " ~ type ~ ")"
                ) -%}
            {%- endfor -%}
            {%- do tuples.append("(" ~ values | join(", ") ~ ")") -%}
        {%- endfor -%}
        {%- set sql = "insert into " ~ this.render() ~ " values " ~ tuples | join(", ") -%}
        {%- do adapter.add_query(sql, abridge_sql_log=True) -%}
        {%- do statements.append(sql) -%}
    {%- endfor -%}
    {{- return(statements | first) -}}
{% endmacro %}
