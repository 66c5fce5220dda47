-- One row per spell of coverage of a member by a payer.
with source_rows as (
    select * from {{ source('billing', 'coverages') }}
),

final as (
    select
        coverage_id as coverage_key,
        member_id as registration_key,
        coalesce(payer_id, '{{ var("unlisted_payer_key") }}') as payer_key,
        product_code,
        starts_on,
        ends_on
    from source_rows
    where deleted_at is null
)

select * from final
