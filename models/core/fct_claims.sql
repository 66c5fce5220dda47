-- One row per claim: its state after every replacement, void, payment and reversal.
with billed as (
    select * from {{ ref('int_claims__billed') }}
),

adjudicated as (
    select * from {{ ref('int_claims__adjudicated') }}
),

covered as (
    select * from {{ ref('int_claims__covered') }}
),

persons as (
    select * from {{ ref('int_registrations__persons') }}
),

joined as (
    select
        billed.claim_number_key,
        billed.claim_key,
        persons.person_key,
        billed.registration_key,
        billed.payer_key,
        billed.hospital_key,
        case
            when billed.is_voided then 'voided'
            when not adjudicated.is_adjudicated then 'open'
            when adjudicated.is_denied then 'denied'
            else 'paid'
        end as claim_status_code,
        billed.claim_type_code,
        billed.principal_diagnosis_code,
        covered.product_code,
        billed.versions_count,
        billed.current_versions_count,
        billed.billed_amount,
        cast(adjudicated.paid_amount + adjudicated.patient_responsibility_amount as decimal(18, 2))
            as allowed_amount,
        adjudicated.paid_amount,
        adjudicated.patient_responsibility_amount,
        adjudicated.other_adjustment_amount,
        billed.is_voided,
        adjudicated.is_adjudicated,
        covered.claim_number_key is not null as is_covered,
        billed.has_competing_versions,
        billed.has_unknown_target,
        billed.service_from_on,
        billed.service_to_on,
        {{ month_of('billed.service_from_on') }} as incurred_month_on,
        billed.first_received_on
    from billed
    inner join adjudicated
        on billed.claim_number_key = adjudicated.claim_number_key
    left join covered
        on billed.claim_number_key = covered.claim_number_key
    left join persons
        on billed.registration_key = persons.registration_key
),

final as (
    select
        claim_number_key,
        claim_key,
        person_key,
        registration_key,
        payer_key,
        hospital_key,
        claim_status_code,
        claim_type_code,
        principal_diagnosis_code,
        product_code,
        versions_count,
        current_versions_count,
        billed_amount,
        allowed_amount,
        paid_amount,
        patient_responsibility_amount,
        other_adjustment_amount,
        is_voided,
        is_adjudicated,
        case
            when is_adjudicated
                then
                    billed_amount
                    = paid_amount + patient_responsibility_amount + other_adjustment_amount
        end as is_balanced,
        is_covered,
        has_competing_versions,
        has_unknown_target,
        service_from_on,
        service_to_on,
        incurred_month_on,
        first_received_on
    from joined
)

select * from final
