-- Fails where a registration without an exclusion reason is no index visit, or the other way round:
-- two models tell the same visit two stories. Shows how many, never which.
with visits as (
    select * from {{ ref('fct_ed_visits') }}
),

returns as (
    select * from {{ ref('fct_ed_returns') }}
),

compared as (
    select
        visits.index_exclusion_reason is null as is_unexcluded,
        returns.index_visit_key is not null as is_index_visit
    from visits
    full outer join returns on visits.ed_visit_key = returns.index_visit_key
),

final as (
    select count(*) as visits_count
    from compared
    where is_unexcluded <> is_index_visit
)

select * from final
where visits_count > 0
