{#- Fails where a key names more rows of another table than can be explained: such a row may have
    been deleted at the source (it still stands in the lake) or be in quarantine. Counts the keys,
    never shows them. -#}
{% test known_or_explained(model, column_name, source_name, table_name, field) %}
    with orphans as (
        select count(distinct children.{{ column_name }}) as keys_count
        from {{ model }} as children
        left join {{ source(source_name, table_name) }} as parents
            on children.{{ column_name }} = parents.{{ field }}
        where children.{{ column_name }} is not null and parents.{{ field }} is null
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
        orphans.keys_count,
        quarantine.rows_count
    from orphans
    cross join quarantine
    where orphans.keys_count > quarantine.rows_count
{% endtest %}
