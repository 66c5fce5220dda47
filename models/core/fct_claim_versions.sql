-- One row per claim version: everything that was ever billed, and what became of it.
with versions as (
    select * from {{ ref('stg_billing__claims') }}
),

states as (
    select * from {{ ref('int_claim_versions__current') }}
),

advised as (
    select * from {{ ref('int_claim_versions__advised') }}
),

final as (
    select
        versions.claim_key,
        states.claim_number_key,
        versions.replaces_claim_key,
        versions.registration_key,
        versions.payer_key,
        versions.hospital_key,
        versions.claim_type_code,
        versions.frequency_code,
        versions.principal_diagnosis_code,
        states.version_number,
        cast(versions.billed_amount as decimal(18, 2)) as billed_amount,
        states.is_current,
        states.is_target_unknown,
        coalesce(advised.is_adjudicated, false) as is_adjudicated,
        versions.service_from_on,
        versions.service_to_on,
        versions.received_on
    from versions
    inner join states
        on versions.claim_key = states.claim_key
    left join advised
        on versions.claim_key = advised.claim_key
)

select * from final
