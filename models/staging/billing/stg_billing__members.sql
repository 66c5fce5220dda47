-- One row per member of a payer as the billing system knows the person.
with source_rows as (
    select * from {{ source('billing', 'members') }}
),

final as (
    select
        member_id as registration_key,
        sex_code,
        postal_code,
        birth_date as birth_on,
        cast(updated_at as timestamp) as updated_at
    from source_rows
    where deleted_at is null
)

select * from final
