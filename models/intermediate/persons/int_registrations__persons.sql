-- One row per registration of a patient or member that can be linked to a person.
with person_map as (
    select * from {{ ref('stg_identity__person_map') }}
),

final as (
    select
        registration_key,
        person_key
    from person_map
    where person_key is not null
)

select * from final
