-- Fails where a measure that pairs anything but returns to an ED is the headline, is shown of the
-- network, or is reviewed. The protection of published figures knows relations between measures of
-- one pairing only; attrition and worklist tell of visits to an ED.
with measures as (
    select * from {{ ref('ed_return_measures') }}
),

review_rules as (
    select * from {{ ref('ed_review_rules') }}
),

final as (
    select measures.measure_code
    from measures
    left join review_rules on measures.measure_code = review_rules.measure_code
    where
        measures.pairing_code <> 'after_discharge_home'
        and (
            measures.is_headline
            or measures.is_network_published
            or review_rules.measure_code is not null
        )
)

select * from final
