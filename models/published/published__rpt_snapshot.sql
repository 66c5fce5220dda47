-- One row: the snapshot behind every published figure.
{{ config(alias='rpt_snapshot') }}
with snapshot as (
    select * from {{ ref('rpt_snapshot') }}
),

final as (
    select
        snapshot_id,
        is_synthetic,
        taken_at,
        data_through_at
    from snapshot
)

select * from final
