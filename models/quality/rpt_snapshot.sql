-- One row: the snapshot behind every figure, and the instant up to which its data are complete.
with snapshots as (
    select * from {{ ref('dim_snapshots') }}
),

final as (
    select
        snapshot_id,
        is_synthetic,
        taken_at,
        data_through_at
    from snapshots
)

select * from final
