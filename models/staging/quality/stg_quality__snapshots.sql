-- One row: the snapshot these data come from.
with source_rows as (
    select * from {{ source('quality', 'snapshots') }}
),

final as (
    select
        snapshot_id,
        contract_hash,
        is_synthetic,
        cast(taken_at as timestamp) as taken_at
    from source_rows
)

select * from final
