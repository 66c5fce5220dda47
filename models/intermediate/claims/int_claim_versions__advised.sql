-- One row per claim version with a remittance: the payer's last word on it.
-- The last word is that of the last day with an advice. A reversal and its new payment bear the
-- same date, so of one day only a reversal without anything beside it leaves the version open. An
-- advice whose status is not known answers nothing: it may be a denial.
with remittances as (
    select * from {{ ref('stg_billing__remittances') }}
),

days as (
    select
        claim_key,
        paid_on,
        bool_or(coalesce(status_code <> 'reversed', false)) as is_adjudicated,
        bool_or(coalesce(status_code = 'denied', false)) as is_denial
    from remittances
    where claim_key is not null
    group by claim_key, paid_on
),

final as (
    select
        claim_key,
        is_adjudicated,
        is_denial,
        paid_on as last_advice_on
    from days
    qualify row_number() over (partition by claim_key order by paid_on desc nulls last) = 1
)

select * from final
