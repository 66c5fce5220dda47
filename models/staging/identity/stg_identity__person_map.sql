-- One row per registration of a patient or member: who it belongs to in this snapshot.
with source_rows as (
    select * from {{ source('identity', 'person_map') }}
),

final as (
    select
        registration_key,
        person_key,
        link_method_code,
        source_name
    from source_rows
)

select * from final
