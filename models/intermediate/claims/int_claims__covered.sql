-- One row per claim whose member its payer covered on the first day of service.
with claims as (
    select * from {{ ref('int_claims__billed') }}
),

segments as (
    select * from {{ ref('int_coverages__segments') }}
),

-- Stretches of a member and payer never overlap, so a day falls into one of them at most.
final as (
    select
        claims.claim_number_key,
        segments.product_code
    from claims
    inner join segments
        on
            claims.registration_key = segments.registration_key
            and claims.payer_key = segments.payer_key
            and claims.service_from_on between segments.starts_on and segments.ends_on
)

select * from final
