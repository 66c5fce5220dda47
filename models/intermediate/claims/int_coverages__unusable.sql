-- One row per spell that covers no day: it has no start, or ends before it.
with coverages as (
    select * from {{ ref('stg_billing__coverages') }}
),

final as (
    select
        coverage_key,
        registration_key,
        payer_key
    from coverages
    where starts_on is null or ends_on < starts_on
)

select * from final
