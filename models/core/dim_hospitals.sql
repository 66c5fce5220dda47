-- One row per hospital of the network.
with hospitals as (
    select * from {{ ref('stg_ehr__hospitals') }}
),

final as (
    select
        hospital_key,
        peer_group_code,
        hospital_name,
        time_zone,
        substring(postal_code, 1, 3) as zip3
    from hospitals
)

select * from final
