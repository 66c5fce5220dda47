{#- Make every dbt source a typed relation over the Parquet files of one snapshot.

    Columns of the classes identifier, device_identifier and free_text never reach the lake, so they
    are no columns of the relation. A table without files is empty, not missing. -#}
{% macro register_sources() %}
    {%- if execute and flags.WHICH in ("build", "run", "test", "seed", "show") -%}
        {%- set lake = env_var("SCUTARI_HOME", "var") ~ "/lake" -%}
        {%- set snapshot = var("snapshot", "") or "current" -%}
        {%- for node in graph.sources.values() -%}
            {%- do adapter.create_schema(api.Relation.create(database=node.database, schema=node.schema)) -%}
            {%- do run_query(source_relation_sql(node, lake ~ "/" ~ snapshot)) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}

{% macro source_relation_sql(node, snapshot_directory) %}
    {%- set columns = [] -%}
    {%- for column in node.columns.values() -%}
        {%- if column.config.meta.privacy not in ("identifier", "device_identifier", "free_text") -%}
            {%- do columns.append("cast(null as " ~ column.data_type ~ ") as " ~ column.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set pattern = snapshot_directory ~ "/" ~ node.source_name ~ "/" ~ node.name ~ "/*.parquet" -%}
    create or replace view {{ node.schema }}.{{ node.name }} as
    select {{ columns | join(", ") }} where false
    {%- if run_query("select count(*) from glob('" ~ pattern ~ "')").columns[0].values()[0] > 0 %}
    union all by name select * from read_parquet('{{ pattern }}', union_by_name = true)
    {%- endif -%}
{% endmacro %}
