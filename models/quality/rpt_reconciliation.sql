-- One row per table and check: what the source held against what arrived, what was quarantined and
-- what was erased.
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
        is_equal
    from reconciliation
)

select * from final
