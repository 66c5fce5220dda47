-- One row per claim version, tied to the version it names and to the start of that chain.
-- A chain is followed by doubling (1, 2, 4 ... 32 links): a recursive query is not portable. One
-- that does not end by then bites its own tail; its versions count as naming an unknown one.
with versions as (
    select
        claim_key,
        replaces_claim_key,
        frequency_code,
        recorded_at,
        received_on,
        coalesce(claim_number_key, claim_key) as claim_number_key
    from {{ ref('stg_billing__claims') }}
),

-- Only a replacement (7) or a void (8) acts on another version, and only on one of its own claim.
hops_0 as (
    select
        acting.claim_key,
        named.claim_key as ancestor_key,
        1 as links_count,
        greatest(acting.received_on, named.received_on) as effective_on,
        greatest(acting.recorded_at, named.recorded_at) as effective_at
    from versions as acting
    inner join versions as named
        on
            acting.replaces_claim_key = named.claim_key
            and acting.claim_number_key = named.claim_number_key
    where acting.frequency_code in ('7', '8')
),

{% for step in range(1, 6) %}
    hops_{{ step }} as (
        select
            near.claim_key,
            coalesce(far.ancestor_key, near.ancestor_key) as ancestor_key,
            near.links_count + coalesce(far.links_count, 0) as links_count,
            greatest(near.effective_on, far.effective_on) as effective_on,
            greatest(near.effective_at, far.effective_at) as effective_at
        from hops_{{ step - 1 }} as near
        left join hops_{{ step - 1 }} as far
            on near.ancestor_key = far.claim_key
    ),

{% endfor %}
resolved as (
    select
        chains.claim_key,
        chains.ancestor_key,
        chains.links_count,
        chains.effective_on,
        chains.effective_at
    from hops_5 as chains
    left join hops_0 as unfinished
        on chains.ancestor_key = unfinished.claim_key
    where unfinished.claim_key is null
),

final as (
    select
        versions.claim_key,
        versions.claim_number_key,
        case
            when resolved.claim_key is not null then versions.replaces_claim_key
        end as target_claim_key,
        coalesce(resolved.ancestor_key, versions.claim_key) as root_claim_key,
        versions.frequency_code,
        cast(coalesce(resolved.links_count, 0) as int) as links_count,
        coalesce(versions.frequency_code in ('7', '8'), false)
        and resolved.claim_key is null as is_target_unknown,
        coalesce(resolved.effective_at, versions.recorded_at) as effective_at,
        coalesce(resolved.effective_on, versions.received_on) as effective_on
    from versions
    left join resolved
        on versions.claim_key = resolved.claim_key
)

select * from final
