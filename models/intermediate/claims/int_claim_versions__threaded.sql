-- One row per claim version, in the thread of versions of which at most one stands.
-- Interim bills (2 to 5) each open a thread: their charges add. Originals share one thread: an
-- original sent again is the same claim. A replacement or void goes with the version it names.
-- Where that one is unknown and the claim has a single thread, nothing else can be meant; a claim
-- of several threads leaves it in a thread of its own, visible in is_target_unknown.
with linked as (
    select * from {{ ref('int_claim_versions__linked') }}
),

rooted as (
    select
        linked.claim_key,
        linked.claim_number_key,
        linked.target_claim_key,
        linked.root_claim_key,
        case
            when root.is_target_unknown then null
            when root.frequency_code in ('2', '3', '4', '5') then root.claim_key
            else root.claim_number_key
        end as known_thread_key,
        linked.frequency_code,
        linked.links_count,
        root.is_target_unknown as is_root_unknown,
        linked.is_target_unknown,
        linked.effective_at,
        linked.effective_on
    from linked
    inner join linked as root
        on linked.root_claim_key = root.claim_key
),

threads as (
    select
        claim_number_key,
        cast(count(distinct known_thread_key) as int) as threads_count,
        min(known_thread_key) as only_thread_key
    from rooted
    group by claim_number_key
),

final as (
    select
        rooted.claim_key,
        rooted.claim_number_key,
        rooted.target_claim_key,
        case
            when not rooted.is_root_unknown then rooted.known_thread_key
            when threads.threads_count > 1 then rooted.root_claim_key
            else coalesce(threads.only_thread_key, rooted.claim_number_key)
        end as thread_key,
        rooted.frequency_code,
        cast(row_number() over (
            partition by rooted.claim_number_key
            order by
                rooted.effective_on asc nulls first,
                rooted.effective_at asc nulls first,
                rooted.links_count asc nulls first,
                rooted.frequency_code asc nulls first,
                rooted.claim_key asc nulls first
        ) as int) as version_number,
        rooted.is_target_unknown
    from rooted
    inner join threads
        on rooted.claim_number_key = threads.claim_number_key
)

select * from final
