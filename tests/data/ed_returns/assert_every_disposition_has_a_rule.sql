-- Fails where a disposition that the code system allows has no rule: visits that ended so would be
-- taken for `other_disposition`, and their transfers and admissions would not be seen.
with dispositions as (
    select * from {{ ref('ed_disposition') }}
),

rules as (
    select * from {{ ref('ed_disposition_rules') }}
),

final as (
    select dispositions.code
    from dispositions
    left join rules on dispositions.code = rules.disposition_code
    where rules.disposition_code is null
)

select * from final
