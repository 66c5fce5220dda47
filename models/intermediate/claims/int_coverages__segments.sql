-- One row per stretch of days without overlap in which a payer covers a member.
-- Spells are cut at every start and end, so that a day counts once however many spells hold it.
-- The spell that began last gives the product. Nothing is known after the snapshot, nor after the
-- last whole day that any feed has brought: every spell, open or not, ends there at the latest, or
-- months without data would look like months without care. A spell that ends before it starts
-- covers no day.
with coverages as (
    select * from {{ ref('stg_billing__coverages') }}
),

snapshots as (
    select * from {{ ref('stg_quality__snapshots') }}
),

feeds as (
    select * from {{ ref('stg_ehr__feeds') }}
),

newest_feed as (
    select {{ add_days('cast(max(data_through_at) as date)', -1) }} as last_whole_day_on
    from feeds
),

known as (
    select least(cast(snapshots.taken_at as date), newest_feed.last_whole_day_on) as until_on
    from snapshots
    cross join newest_feed
),

spells as (
    select
        coverages.coverage_key,
        coverages.registration_key,
        coverages.payer_key,
        coverages.product_code,
        coverages.starts_on,
        {{ add_days('least(coverages.ends_on, known.until_on)', 1) }} as stops_on
    from coverages
    cross join known
    where
        coverages.starts_on <= known.until_on
        and coverages.starts_on <= coalesce(coverages.ends_on, coverages.starts_on)
),

cuts as (
    select
        registration_key,
        payer_key,
        starts_on as cut_on
    from spells
    union distinct
    select
        registration_key,
        payer_key,
        stops_on as cut_on
    from spells
),

pieces as (
    select
        registration_key,
        payer_key,
        cut_on as starts_on,
        lead(cut_on) over (
            partition by registration_key, payer_key
            order by cut_on asc nulls last
        ) as stops_on
    from cuts
),

final as (
    select
        pieces.registration_key,
        pieces.payer_key,
        spells.product_code,
        pieces.starts_on,
        {{ add_days('pieces.stops_on', -1) }} as ends_on
    from pieces
    inner join spells
        on
            pieces.registration_key is not distinct from spells.registration_key
            and pieces.payer_key is not distinct from spells.payer_key
            and pieces.starts_on >= spells.starts_on
            and pieces.stops_on <= spells.stops_on
    qualify row_number() over (
        partition by pieces.registration_key, pieces.payer_key, pieces.starts_on
        order by spells.starts_on desc nulls last, spells.coverage_key desc nulls last
    ) = 1
)

select * from final
