-- One row per hospital and quarter with a reviewed case: how many, and how many with an issue.
with reviews as (
    select
        *,
        {{ month_of('quarter_on') }} as first_month_on
    from {{ ref('fct_chart_reviews') }}
),

final as (
    select
        hospital_key,
        count(is_quality_issue) as reviewed_count,
        count(case when is_quality_issue then review_key end) as issue_count,
        count(case when is_quality_issue is not null and is_reviewed_twice then review_key end)
            as reviewed_twice_count,
        count(case when is_quality_issue is not null and not is_case_known then review_key end)
            as unknown_cases_count,
        first_month_on as quarter_on
    from reviews
    group by hospital_key, first_month_on
)

select * from final
