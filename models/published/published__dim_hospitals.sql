-- One row per hospital of the network.
{{ config(alias='dim_hospitals') }}
with hospitals as (
    select * from {{ ref('dim_hospitals') }}
),

final as (
    select
        hospital_key,
        peer_group_code,
        hospital_name,
        time_zone,
        zip3
    from hospitals
)

select * from final
