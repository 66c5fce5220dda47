{#- Make every dbt source a typed relation over the Parquet files of one snapshot.

    The snapshot is resolved once, at the start of a run, to a directory that never changes again:
    a nightly snapshot that lands in the middle of a build cannot mix two of them. -#}
{% macro register_sources() %}
    {%- if execute and flags.WHICH in ("build", "run", "test", "seed", "show") -%}
        {%- set lake = lake_directory() -%}
        {%- set nodes = graph.sources.values() | list -%}
        {%- for schema in nodes | map(attribute="schema") | unique -%}
            {%- set node = nodes | selectattr("schema", "equalto", schema) | first -%}
            {%- do adapter.create_schema(
                api.Relation.create(database=node.database, schema=schema)
            ) -%}
        {%- endfor -%}
        {%- set snapshot_id = resolve_snapshot(lake) -%}
        {%- for node in nodes -%}
            {%- do register_source(node, lake ~ "/" ~ snapshot_id) -%}
        {%- endfor -%}
        {%- do log("Building from snapshot " ~ snapshot_id ~ ".", info=True) -%}
    {%- endif -%}
{% endmacro %}

{#- Spark takes a relative path for one inside its own warehouse. -#}
{% macro lake_directory() %}
    {%- set home = env_var("SCUTARI_HOME", "var") -%}
    {%- set is_relative = target.type == "spark" and not home.startswith("/") -%}
    {%- do return((env_var("PWD", ".") ~ "/" if is_relative else "") ~ home ~ "/lake") -%}
{% endmacro %}

{#- The id that the asked-for snapshot gives itself, or an error that says what to do. `current` is a
    link that may move at any time; the name inside the data does not. Nothing in the warehouse has
    changed when this fails. -#}
{% macro resolve_snapshot(lake) %}
    {%- set asked = var("snapshot", "") or env_var("SCUTARI_SNAPSHOT", "") or "current" -%}
    {%- set found = adapter.dispatch("snapshot_ids_in")(lake ~ "/" ~ asked) -%}
    {%- if found | length == 1 and asked in ("current", found[0]) -%}
        {%- do return(found[0]) -%}
    {%- elif asked == "current" -%}
        {%- do exceptions.raise_compiler_error(
            "There is no snapshot in " ~ lake ~ ": run `scutari snapshot` (or `make demo`) first."
        ) -%}
    {%- else -%}
        {%- do exceptions.raise_compiler_error(
            "There is no snapshot " ~ asked ~ " in " ~ lake
            ~ ": run `scutari status` for those there are."
        ) -%}
    {%- endif -%}
{% endmacro %}

{% macro default__snapshot_ids_in(directory) %}
    {%- if not has_files(directory ~ "/_manifest.json") -%}
        {%- do return([]) -%}
    {%- endif -%}
    {%- set files = sql_literal(directory ~ "/quality/snapshots/*.parquet") -%}
    {%- do return(
        run_query("select snapshot_id from read_parquet(" ~ files ~ ")").columns[0].values() | list
    ) -%}
{% endmacro %}

{% macro has_files(pattern) %}
    {%- set counted = run_query("select count(*) from glob(" ~ sql_literal(pattern) ~ ")") -%}
    {%- do return(counted.columns[0].values()[0] > 0) -%}
{% endmacro %}

{#- Spark ignores names with an underscore, `_manifest.json` too, and an absent directory is an empty
    table: the row that a snapshot holds of itself is what there is to ask. -#}
{% macro spark__snapshot_ids_in(directory) %}
    {%- set probe = "lake_quality.snapshot_probe" -%}
    {%- do run_query("drop table if exists " ~ probe) -%}
    {%- do run_query(
        "create table " ~ probe ~ " (snapshot_id string) using parquet location "
        ~ sql_literal(directory ~ "/quality/snapshots")
    ) -%}
    {%- do return(run_query("select snapshot_id from " ~ probe).columns[0].values() | list) -%}
{% endmacro %}

{% macro register_source(node, snapshot_directory) %}
    {%- set directory = snapshot_directory ~ "/" ~ node.source_name ~ "/" ~ node.name -%}
    {%- do adapter.dispatch("register_source_relation")(node, directory) -%}
{% endmacro %}

{#- A table without files is empty, not missing; a column that an older snapshot lacks is null. -#}
{% macro default__register_source_relation(node, directory) %}
    {%- set pattern = directory ~ "/*.parquet" -%}
    {%- set typed = [] -%}
    {%- for column in lake_columns(node) -%}
        {%- do typed.append("cast(null as " ~ column.data_type ~ ") as " ~ column.name) -%}
    {%- endfor -%}
    {%- do run_query(
        "create or replace view "
        ~ node.database ~ "." ~ node.schema ~ "." ~ node.name ~ " as select "
        ~ typed | join(", ") ~ " where false"
        ~ (
            " union all by name select * from read_parquet(" ~ sql_literal(pattern)
            ~ ", union_by_name = true)" if has_files(pattern) else ""
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
        ~ ") using parquet location " ~ sql_literal(directory)
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
