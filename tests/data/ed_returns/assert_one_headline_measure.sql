-- Fails unless exactly one measure is the headline: flags and attrition speak of one window.
with measures as (
    select * from {{ ref('ed_return_measures') }}
),

final as (
    select count(*) as headlines_count
    from measures
    where is_headline
)

select * from final
where headlines_count <> 1
