-- One row per claim: the signed sums over the remittances of all its versions, and whether the
-- payer has answered every charge that stands.
with states as (
    select * from {{ ref('int_claim_versions__current') }}
),

remittances as (
    select * from {{ ref('int_remittances__adjusted') }}
),

advised as (
    select * from {{ ref('int_claim_versions__advised') }}
),

sums as (
    select
        states.claim_number_key,
        cast(sum(remittances.paid_amount) as decimal(18, 2)) as paid_amount,
        cast(sum(remittances.patient_responsibility_amount) as decimal(18, 2))
            as patient_responsibility_amount,
        cast(
            sum(
                remittances.contractual_amount + remittances.other_amount
                + remittances.payer_initiated_amount + remittances.ungrouped_amount
            ) as decimal(18, 2)
        ) as other_adjustment_amount
    from remittances
    inner join states
        on remittances.claim_key = states.claim_key
    group by states.claim_number_key
),

answers as (
    select
        states.claim_number_key,
        coalesce(advised.is_adjudicated, false) as is_adjudicated,
        coalesce(advised.is_denial, false) as is_denial,
        row_number() over (
            partition by states.claim_number_key
            order by
                advised.last_advice_on desc nulls last,
                advised.is_denial desc nulls last,
                states.version_number desc nulls last
        ) as answer_rank
    from states
    left join advised
        on states.claim_key = advised.claim_key
    where states.is_current
),

answered as (
    select
        claim_number_key,
        bool_and(is_adjudicated) as is_adjudicated,
        bool_or(answer_rank = 1 and is_denial) as is_denial
    from answers
    group by claim_number_key
),

claims as (
    select distinct claim_number_key from states
),

final as (
    select
        claims.claim_number_key,
        coalesce(sums.paid_amount, 0) as paid_amount,
        coalesce(sums.patient_responsibility_amount, 0) as patient_responsibility_amount,
        coalesce(sums.other_adjustment_amount, 0) as other_adjustment_amount,
        coalesce(answered.is_adjudicated, false) as is_adjudicated,
        coalesce(answered.is_adjudicated and answered.is_denial, false)
        and coalesce(sums.paid_amount, 0) = 0
        and coalesce(sums.patient_responsibility_amount, 0) = 0 as is_denied
    from claims
    left join sums
        on claims.claim_number_key = sums.claim_number_key
    left join answered
        on claims.claim_number_key = answered.claim_number_key
)

select * from final
