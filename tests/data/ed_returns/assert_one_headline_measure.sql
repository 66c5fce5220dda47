-- Fails unless exactly one measure is the headline, and the network sees it: flags, attrition and
-- the pages' first chart speak of it. A measure that asks for an admission asks for no other end.
with measures as (
    select * from {{ ref('ed_return_measures') }}
),

final as (
    select
        count(case when is_headline and is_network_published then 1 end) as headlines_count,
        count(case when is_headline and not is_network_published then 1 end) as unseen_count,
        count(case when requires_admission and return_outcome_code is not null then 1 end)
            as contradictions_count
    from measures
)

select * from final
where headlines_count <> 1 or unseen_count > 0 or contradictions_count > 0
