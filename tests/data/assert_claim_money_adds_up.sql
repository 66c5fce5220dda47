-- Fails when a cent is lost or counted twice between the billing system and the monthly mart.
-- A join that fans out, or drops a version, leaves every rate believable and wrong.
-- It does not claim that payers balanced their advices: fct_claims.is_balanced says that.
with advices as (
    select * from {{ ref('stg_billing__remittances') }}
),

adjustments as (
    select * from {{ ref('stg_billing__remittance_adjustments') }}
),

orphaned_adjustments as (
    select * from {{ ref('int_remittance_adjustments__orphaned') }}
),

remittances as (
    select * from {{ ref('fct_remittances') }}
),

versions as (
    select * from {{ ref('fct_claim_versions') }}
),

claims as (
    select * from {{ ref('fct_claims') }}
),

monthly as (
    select * from {{ ref('rpt_claims_monthly') }}
),

totals as (
    select
        (select sum(paid_amount) from advices) as source_paid,
        (select sum(adjustment_amount) from adjustments) as source_adjusted,
        (select sum(adjustment_amount) from orphaned_adjustments) as orphaned_adjusted,
        (select sum(paid_amount) from remittances) as advised_paid,
        (
            select sum(patient_responsibility_amount + other_adjustment_amount) from remittances
        ) as advised_adjusted,
        (
            select sum(paid_amount) from remittances
            where claim_number_key is not null
        ) as attached_paid,
        (
            select sum(patient_responsibility_amount + other_adjustment_amount) from remittances
            where claim_number_key is not null
        ) as attached_adjusted,
        (
            select sum(billed_amount) from versions
            where is_current
        ) as standing_billed,
        (select sum(billed_amount) from claims) as claims_billed,
        (select sum(paid_amount) from claims) as claims_paid,
        (
            select sum(patient_responsibility_amount + other_adjustment_amount) from claims
        ) as claims_adjusted,
        (select sum(billed_amount) from monthly) as monthly_billed,
        (select sum(paid_amount) from monthly) as monthly_paid,
        (
            select sum(patient_responsibility_amount + adjustment_amount) from monthly
        ) as monthly_adjusted
)

select *
from totals
where
    coalesce(source_paid, 0) <> coalesce(advised_paid, 0)
    or coalesce(source_adjusted, 0) - coalesce(orphaned_adjusted, 0)
    <> coalesce(advised_adjusted, 0)
    or coalesce(attached_paid, 0) <> coalesce(claims_paid, 0)
    or coalesce(attached_adjusted, 0) <> coalesce(claims_adjusted, 0)
    or coalesce(standing_billed, 0) <> coalesce(claims_billed, 0)
    or coalesce(claims_billed, 0) <> coalesce(monthly_billed, 0)
    or coalesce(claims_paid, 0) <> coalesce(monthly_paid, 0)
    or coalesce(claims_adjusted, 0) <> coalesce(monthly_adjusted, 0)
