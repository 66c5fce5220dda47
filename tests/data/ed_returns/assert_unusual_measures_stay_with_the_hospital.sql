-- Fails where a measure that pairs anything but returns to an ED, that leaves out diagnoses,
-- or that does not wait for follow-up or outcome, is the headline or is shown of the network.
-- The protection of published figures knows relations between the other measures only, and the
-- steps of attrition are theirs. Nor are visits reviewed that are no pair of two visits to an
-- ED.
with measures as (
    select
        *,
        pairing_code <> 'after_discharge_home'
        or return_exclusion_group_code is not null
        or index_exclusion_group_code is not null
        or not requires_complete_follow_up
        or not requires_known_outcome as is_unusual
    from {{ ref('ed_return_measures') }}
),

review_rules as (
    select * from {{ ref('ed_review_rules') }}
),

final as (
    select measures.measure_code
    from measures
    left join review_rules on measures.measure_code = review_rules.measure_code
    where
        (measures.is_unusual and (measures.is_headline or measures.is_network_published))
        or (
            measures.pairing_code <> 'after_discharge_home'
            and review_rules.measure_code is not null
        )
)

select * from final
