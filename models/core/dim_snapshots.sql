-- One row: the snapshot this warehouse was built from, and how far its feeds are complete.
with completeness as (
    select * from {{ ref('int_snapshots__completeness') }}
),

final as (
    select
        snapshot_id,
        is_synthetic,
        taken_at,
        data_through_at
    from completeness
)

select * from final
