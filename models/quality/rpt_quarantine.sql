-- One row per table, column and reason: how many values were kept out of the lake, never which.
with quarantine as (
    select * from {{ ref('stg_quality__quarantine') }}
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
    from quarantine
)

select * from final
