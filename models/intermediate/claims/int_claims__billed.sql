-- One row per claim: what is billed now, and the version that describes the claim.
-- A voided claim has no version left: it keeps the description of the last bill, and bills nothing.
with versions as (
    select * from {{ ref('stg_billing__claims') }}
),

states as (
    select * from {{ ref('int_claim_versions__current') }}
),

ranked as (
    select
        states.claim_number_key,
        versions.claim_key,
        versions.registration_key,
        versions.payer_key,
        versions.hospital_key,
        versions.claim_type_code,
        versions.principal_diagnosis_code,
        versions.billed_amount,
        states.is_current,
        states.is_outvoted,
        states.is_target_unknown,
        versions.service_from_on,
        versions.service_to_on,
        versions.received_on,
        row_number() over (
            partition by states.claim_number_key
            order by
                states.is_current desc nulls last,
                coalesce(versions.frequency_code, '') = '8' asc nulls last,
                states.version_number desc nulls last
        ) as description_rank
    from states
    inner join versions
        on states.claim_key = versions.claim_key
),

final as (
    select
        claim_number_key,
        max(case when description_rank = 1 and is_current then claim_key end) as claim_key,
        max(case when description_rank = 1 then registration_key end) as registration_key,
        max(case when description_rank = 1 then payer_key end) as payer_key,
        max(case when description_rank = 1 then hospital_key end) as hospital_key,
        max(case when description_rank = 1 then claim_type_code end) as claim_type_code,
        max(case when description_rank = 1 then principal_diagnosis_code end)
            as principal_diagnosis_code,
        cast(count(*) as bigint) as versions_count,
        cast(count_if(is_current) as bigint) as current_versions_count,
        cast(
            coalesce(sum(case when is_current then billed_amount end), 0) as decimal(18, 2)
        ) as billed_amount,
        count_if(is_current) = 0 as is_voided,
        count_if(is_outvoted) > 0 as has_competing_versions,
        count_if(is_target_unknown) > 0 as has_unknown_target,
        min(case when is_current or description_rank = 1 then service_from_on end)
            as service_from_on,
        max(case when is_current or description_rank = 1 then service_to_on end)
            as service_to_on,
        min(received_on) as first_received_on
    from ranked
    group by claim_number_key
)

select * from final
