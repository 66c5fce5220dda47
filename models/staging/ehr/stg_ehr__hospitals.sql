-- One row per hospital of the network.
with source_rows as (
    select * from {{ source('ehr', 'hospitals') }}
),

final as (
    select
        hospital_id as hospital_key,
        peer_group_code,
        postal_code,
        hospital_name,
        time_zone
    from source_rows
)

select * from final
