-- Fails where the end of the attrition is not what the monthly mart counts for the headline: who
-- follows the figure back would arrive somewhere else.
with steps as (
    select * from {{ ref('rpt_ed_returns_attrition') }}
),

months as (
    select * from {{ ref('rpt_ed_returns_monthly') }}
),

measures as (
    select * from {{ ref('ed_return_measures') }}
),

attrition as (
    select
        hospital_key,
        sum(
            case when step_code = 'numerator' then registrations_count else 0 end
        ) as numerator_count,
        sum(
            case when step_code = 'followed_index_visits' then registrations_count else 0 end
        ) as index_visits_count
    from steps
    group by hospital_key
),

monthly as (
    select
        months.hospital_key,
        sum(months.numerator_count) as numerator_count,
        sum(months.index_visits_count) as index_visits_count
    from months
    inner join measures on months.measure_code = measures.measure_code
    where measures.is_headline
    group by months.hospital_key
),

final as (
    select
        attrition.hospital_key,
        attrition.numerator_count - coalesce(monthly.numerator_count, 0) as numerator_difference,
        attrition.index_visits_count
        - coalesce(monthly.index_visits_count, 0) as index_visits_difference
    from attrition
    left join monthly on attrition.hospital_key = monthly.hospital_key
)

select * from final
where numerator_difference <> 0 or index_visits_difference <> 0
