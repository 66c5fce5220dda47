-- One row per claim version: whether its charges still stand.
-- A replacement or void ends every version of its thread up to the one it names, not the later
-- ones: a claim voided and billed anew keeps the new bill. Of what is left the last one stands.
with threaded as (
    select * from {{ ref('int_claim_versions__threaded') }}
),

ended as (
    select
        acting.claim_number_key,
        acting.thread_key,
        max(coalesce(named.version_number, acting.version_number - 1)) as ended_version_number
    from threaded as acting
    left join threaded as named
        on acting.target_claim_key = named.claim_key
    where acting.frequency_code in ('7', '8')
    group by acting.claim_number_key, acting.thread_key
),

standing as (
    select
        threaded.claim_key,
        threaded.claim_number_key,
        threaded.target_claim_key,
        threaded.thread_key,
        threaded.version_number,
        threaded.is_target_unknown,
        coalesce(threaded.frequency_code, '') <> '8'
        and threaded.version_number > coalesce(ended.ended_version_number, 0) as is_standing
    from threaded
    left join ended
        on
            threaded.claim_number_key = ended.claim_number_key
            and threaded.thread_key = ended.thread_key
),

ranked as (
    select
        claim_key,
        claim_number_key,
        target_claim_key,
        thread_key,
        version_number,
        is_target_unknown,
        is_standing,
        row_number() over (
            partition by claim_number_key, thread_key
            order by is_standing desc nulls last, version_number desc nulls last
        ) as standing_rank
    from standing
),

final as (
    select
        claim_key,
        claim_number_key,
        target_claim_key,
        thread_key,
        version_number,
        is_standing and standing_rank = 1 as is_current,
        is_standing and standing_rank > 1 as is_outvoted,
        is_target_unknown
    from ranked
)

select * from final
