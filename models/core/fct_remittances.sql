-- One row per remittance, amounts signed: a reversal is a row of its own with negative amounts.
with remittances as (
    select * from {{ ref('int_remittances__adjusted') }}
),

versions as (
    select * from {{ ref('fct_claim_versions') }}
),

persons as (
    select * from {{ ref('int_registrations__persons') }}
),

final as (
    select
        remittances.remittance_key,
        remittances.claim_key,
        remittances.claim_line_key,
        versions.claim_number_key,
        persons.person_key,
        versions.registration_key,
        versions.payer_key,
        versions.hospital_key,
        remittances.status_code,
        remittances.paid_amount,
        remittances.patient_responsibility_amount,
        remittances.contractual_amount,
        remittances.other_amount,
        remittances.payer_initiated_amount,
        remittances.ungrouped_amount,
        cast(
            remittances.contractual_amount + remittances.other_amount
            + remittances.payer_initiated_amount + remittances.ungrouped_amount
            as decimal(18, 2)
        ) as other_adjustment_amount,
        coalesce(versions.is_current, false) as is_current,
        remittances.paid_on,
        {{ month_of('remittances.paid_on') }} as paid_month_on
    from remittances
    left join versions
        on remittances.claim_key = versions.claim_key
    left join persons
        on versions.registration_key = persons.registration_key
)

select * from final
