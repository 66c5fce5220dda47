{#- Make every dbt source a typed relation over the Parquet files of one snapshot.

    The snapshot is resolved once, at the start of a run, to a directory that never changes again:
    a nightly snapshot that lands in the middle of a build cannot mix two of them. -#}
{% macro register_sources() %}
    {%- if execute and flags.WHICH in ("build", "run", "test", "seed", "show") -%}
        {%- set lake = env_var("SCUTARI_HOME", "var") ~ "/lake" -%}
        {%- set nodes = graph.sources.values() | list -%}
        {%- for schema in nodes | map(attribute="schema") | unique -%}
            {%- set node = nodes | selectattr("schema", "equalto", schema) | first -%}
            {%- do adapter.create_schema(
                api.Relation.create(database=node.database, schema=schema)
            ) -%}
        {%- endfor -%}
        {%- set snapshot_id = resolve_snapshot(nodes, lake) -%}
        {%- for node in nodes -%}
            {%- do register_source(node, lake ~ "/" ~ snapshot_id) -%}
        {%- endfor -%}
        {%- do log("Building from snapshot " ~ snapshot_id ~ ".", info=True) -%}
    {%- endif -%}
{% endmacro %}

{#- The id that the asked-for snapshot gives itself. `current` is a link that may move at any time;
    the name inside the data does not. Spark has no way to read `_manifest.json` (it ignores names
    with an underscore), so both engines read the snapshot's own row in quality.snapshots. -#}
{% macro resolve_snapshot(nodes, lake) %}
    {%- set asked = var("snapshot", "") or "current" -%}
    {%- set node = nodes | selectattr("schema", "equalto", "lake_quality")
        | selectattr("name", "equalto", "snapshots") | first -%}
    {%- do register_source(node, lake ~ "/" ~ asked) -%}
    {%- set found = run_query(
        "select snapshot_id from " ~ node.schema ~ "." ~ node.name
    ).columns[0].values() -%}
    {%- if found | length == 1 and (asked == "current" or asked == found[0]) -%}
        {%- do return(found[0]) -%}
    {%- endif -%}
    {%- if var("allow_empty_lake", false) -%}
        {%- do return("no_snapshot") -%}
    {%- endif -%}
    {%- if asked != "current" -%}
        {%- do exceptions.raise_compiler_error(
            "There is no snapshot " ~ asked ~ " in " ~ lake
            ~ ": run `scutari status` for those there are."
        ) -%}
    {%- endif -%}
    {%- do exceptions.raise_compiler_error(
        "There is no snapshot in " ~ lake ~ ": run `scutari snapshot` (or `make demo`) first."
    ) -%}
{% endmacro %}

{% macro register_source(node, snapshot_directory) %}
    {%- set directory = snapshot_directory ~ "/" ~ node.source_name ~ "/" ~ node.name -%}
    {%- do adapter.dispatch("register_source_relation")(node, directory) -%}
{% endmacro %}

{#- A table without files is empty, not missing; a column that an older snapshot lacks is null. -#}
{% macro default__register_source_relation(node, directory) %}
    {%- set pattern = (directory ~ "/*.parquet") | replace("'", "''") -%}
    {%- set typed = [] -%}
    {%- for column in lake_columns(node) -%}
        {%- do typed.append("cast(null as " ~ column.data_type ~ ") as " ~ column.name) -%}
    {%- endfor -%}
    {%- set has_files = run_query(
        "select count(*) from glob('" ~ pattern ~ "')"
    ).columns[0].values()[0] > 0 -%}
    {%- do run_query(
        "create or replace view " ~ node.schema ~ "." ~ node.name ~ " as select "
        ~ typed | join(", ") ~ " where false"
        ~ (
            " union all by name select * from read_parquet('" ~ pattern
            ~ "', union_by_name = true)" if has_files else ""
        )
    ) -%}
{% endmacro %}

{#- Dropping an external table leaves its files alone. An absent directory is an empty table. -#}
{% macro spark__register_source_relation(node, directory) %}
    {%- set typed = [] -%}
    {%- for column in lake_columns(node) -%}
        {%- do typed.append(column.name ~ " " ~ column.data_type) -%}
    {%- endfor -%}
    {%- do run_query("drop table if exists " ~ node.schema ~ "." ~ node.name) -%}
    {%- do run_query(
        "create table " ~ node.schema ~ "." ~ node.name ~ " (" ~ typed | join(", ")
        ~ ") using parquet location '" ~ directory | replace("'", "\\'") ~ "'"
    ) -%}
{% endmacro %}

{#- Columns of the classes identifier, device_identifier and free_text never reach the lake. -#}
{% macro lake_columns(node) %}
    {%- set columns = [] -%}
    {%- for column in node.columns.values() -%}
        {%- if column.config.meta.privacy not in ("identifier", "device_identifier", "free_text") -%}
            {%- do columns.append(column) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do return(columns) -%}
{% endmacro %}
