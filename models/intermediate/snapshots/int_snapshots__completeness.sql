-- One row: the snapshot, and the instant up to which every feed has brought its data.
with snapshots as (
    select * from {{ ref('stg_quality__snapshots') }}
),

feeds as (
    select * from {{ ref('stg_ehr__feeds') }}
),

slowest_feed as (
    select min(data_through_at) as data_through_at
    from feeds
),

final as (
    select
        snapshots.snapshot_id,
        snapshots.contract_hash,
        snapshots.is_synthetic,
        snapshots.taken_at,
        slowest_feed.data_through_at
    from snapshots
    cross join slowest_feed
)

select * from final
