-- One row per index-return pair that the hospital which sent the patient home may review.
--
-- A hospital's own file holds the drawn ones. The order of the sample is that of a digest of the
-- index visit's token: the same for the same snapshot, equal to chance for whoever lacks the token
-- key, and nobody chooses a token. A quarter is sampled once it is closed, and publication keeps
-- what it has listed before: see ops/publication/worklist.py.
with measured_returns as (
    select * from {{ ref('fct_ed_measured_returns') }}
    where is_counted and pairing_code = 'after_discharge_home'
),

returns as (
    select * from {{ ref('fct_ed_returns') }}
),

rules as (
    select * from {{ ref('ed_review_rules') }}
),

quotas as (
    select * from {{ ref('ed_review_quotas') }}
),

largest_quota as (
    select max(sample_count) as sample_count from quotas
),

hospitals as (
    select * from {{ ref('dim_hospitals') }}
),

snapshots as (
    select * from {{ ref('dim_snapshots') }}
),

-- A hospital without a peer group reviews as many as any.
hospital_quotas as (
    select
        hospitals.hospital_key,
        coalesce(quotas.sample_count, largest_quota.sample_count) as quota_count
    from hospitals
    cross join largest_quota
    left join quotas on hospitals.peer_group_code = quotas.peer_group_code
),

candidates as (
    select
        measured_returns.index_visit_key,
        bool_or(rules.take_code = 'all') as is_always_taken
    from measured_returns
    inner join rules on measured_returns.measure_code = rules.measure_code
    group by measured_returns.index_visit_key
),

pairs as (
    select
        returns.index_visit_key,
        returns.return_visit_key,
        returns.hospital_key,
        candidates.is_always_taken,
        returns.return_hospital_key <> returns.hospital_key as is_return_elsewhere,
        {{ sha256("'ed review ' || returns.index_visit_key") }} as sample_order,
        cast(date_trunc('quarter', returns.index_month_on) as date) as quarter_on
    from candidates
    inner join returns on candidates.index_visit_key = returns.index_visit_key
),

numbered as (
    select
        pairs.*,
        hospital_quotas.quota_count,
        row_number() over (
            partition by pairs.hospital_key, pairs.quarter_on, pairs.is_always_taken
            order by pairs.sample_order nulls last, pairs.index_visit_key nulls last
        ) as sample_number,
        {{ add_days(
            "cast(pairs.quarter_on + interval '3' month as date)", var('publication_closing_days')
        ) }} > snapshots.data_through_at as is_quarter_open
    from pairs
    cross join snapshots
    inner join hospital_quotas on pairs.hospital_key = hospital_quotas.hospital_key
),

final as (
    select
        index_visit_key,
        -- The chart of a return elsewhere is that hospital's.
        case when not is_return_elsewhere then return_visit_key end as return_visit_key,
        hospital_key,
        case when is_always_taken then 'sentinel' else 'sample' end as reason_code,
        cast(case when not is_always_taken then sample_number end as int) as sample_number,
        quota_count,
        is_return_elsewhere,
        is_quarter_open,
        is_always_taken
        or (not is_quarter_open and sample_number <= quota_count) as is_drawn,
        quarter_on
    from numbered
)

select * from final
