-- One row per claim version with lines: what its lines come to, beside what its header says.
with versions as (
    select * from {{ ref('stg_billing__claims') }}
),

lines as (
    select * from {{ ref('stg_billing__claim_lines') }}
),

final as (
    select
        versions.claim_key,
        cast(max(versions.billed_amount) as decimal(18, 2)) as billed_amount,
        cast(coalesce(sum(lines.billed_amount), 0) as decimal(18, 2)) as lines_amount
    from versions
    inner join lines
        on versions.claim_key = lines.claim_key
    group by versions.claim_key
)

select * from final
