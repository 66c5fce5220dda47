-- One row per table, column and reason: how many values were kept out of the lake.
with source_rows as (
    select * from {{ source('quality', 'quarantine') }}
),

final as (
    select
        quarantine_key,
        reason_code,
        source_name,
        table_name,
        column_name,
        row_count,
        is_row_dropped
    from source_rows
)

select * from final
