-- One row per line of every claim version, the superseded ones included.
with lines as (
    select * from {{ ref('stg_billing__claim_lines') }}
),

versions as (
    select * from {{ ref('fct_claim_versions') }}
),

persons as (
    select * from {{ ref('int_registrations__persons') }}
),

final as (
    select
        lines.claim_line_key,
        lines.claim_key,
        versions.claim_number_key,
        persons.person_key,
        versions.registration_key,
        versions.payer_key,
        versions.hospital_key,
        lines.revenue_code,
        lines.procedure_code,
        lines.line_number,
        cast(lines.units as decimal(18, 2)) as units,
        cast(lines.billed_amount as decimal(18, 2)) as billed_amount,
        coalesce(versions.is_current, false) as is_current,
        lines.service_on
    from lines
    left join versions
        on lines.claim_key = versions.claim_key
    left join persons
        on versions.registration_key = persons.registration_key
)

select * from final
