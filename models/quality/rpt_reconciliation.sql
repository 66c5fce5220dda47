-- One row per table and check: what the source held against what arrived, what was quarantined,
-- what was erased and what had expired.
with reconciliation as (
    select * from {{ ref('stg_quality__reconciliation') }}
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
    from reconciliation
)

select * from final
