-- One row per data feed of a hospital: how far its data are complete.
with source_rows as (
    select * from {{ source('ehr', 'feeds') }}
),

final as (
    select
        feed_id as feed_key,
        hospital_id as hospital_key,
        feed_name,
        cast(data_through_at as timestamp) as data_through_at
    from source_rows
)

select * from final
