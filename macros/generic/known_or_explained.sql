{#- Warns where a key names rows of another table that are not there, and fails where more than one
    row in a hundred does. A row that was deleted at the source still stands in the lake; for one in
    quarantine a key is forgiven. Reconciliation has shown that nothing else was lost: what is left
    are keys that the source itself knows nothing of. Counts them, never shows them. -#}
{% test known_or_explained(model, column_name, source_name, table_name, field) %}
    {{ config(
        fail_calc="coalesce(max(unknown_per_thousand), 0)", warn_if="> 0", error_if="> 10"
    ) }}
    with keys as (
        select
            count(children.{{ column_name }}) as rows_count,
            count(case when parents.{{ field }} is null then children.{{ column_name }} end)
                as unknown_rows_count,
            count(distinct case when parents.{{ field }} is null then children.{{ column_name }} end)
                as unknown_keys_count
        from {{ model }} as children
        left join {{ source(source_name, table_name) }} as parents
            on children.{{ column_name }} = parents.{{ field }}
    ),

    quarantine as (
        select coalesce(sum(row_count), 0) as rows_count
        from {{ ref('stg_quality__quarantine') }}
        where
            is_row_dropped
            and source_name = '{{ source_name }}'
            and table_name = '{{ table_name }}'
    )

    select
        keys.unknown_keys_count,
        quarantine.rows_count as quarantined_count,
        -- Of the rows with unknown keys the share whose key no quarantined row explains.
        ceil(
            keys.unknown_rows_count * 1000.0 / keys.rows_count
            * (keys.unknown_keys_count - quarantine.rows_count) / keys.unknown_keys_count
        ) as unknown_per_thousand
    from keys
    cross join quarantine
    where keys.unknown_keys_count > quarantine.rows_count
{% endtest %}
