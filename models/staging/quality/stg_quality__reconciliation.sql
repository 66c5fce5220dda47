-- One row per table and check: source against lake, quarantine, what was erased, what had expired.
with source_rows as (
    select * from {{ source('quality', 'reconciliation') }}
),

final as (
    select
        check_key,
        check_code,
        source_name,
        table_name,
        column_name,
        digest,
        source_count,
        lake_count,
        quarantined_count,
        erased_count,
        expired_count,
        is_equal
    from source_rows
)

select * from final
