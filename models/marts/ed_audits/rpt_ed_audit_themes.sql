-- One row per hospital, quarter with a reviewed case, and theme that is offered or was found.
--
-- A case has several themes: over themes nothing adds up to the cases with an issue.
with quarters as (
    select * from {{ ref('rpt_ed_audits_quarterly') }}
),

reviews as (
    select * from {{ ref('fct_chart_reviews') }}
    where is_quality_issue
),

review_themes as (
    select * from {{ ref('fct_chart_review_themes') }}
),

themes as (
    select * from {{ ref('audit_codes') }}
    where field_code = 'theme'
),

labelled as (
    select
        reviews.hospital_key,
        {{ group_label('review_themes.theme_code') }} as theme_code,
        {{ month_of('reviews.quarter_on') }} as quarter_on
    from reviews
    inner join review_themes on reviews.review_key = review_themes.review_key
),

counted as (
    select
        hospital_key,
        theme_code,
        quarter_on,
        count(*) as theme_count
    from labelled
    group by hospital_key, theme_code, quarter_on
),

final as (
    select
        quarters.hospital_key,
        themes.code as theme_code,
        themes.group_code as theme_group_code,
        themes.code_name as theme_name,
        themes.sort_number,
        quarters.reviewed_count,
        quarters.issue_count,
        coalesce(counted.theme_count, 0) as theme_count,
        quarters.quarter_on
    from quarters
    cross join themes
    left join counted
        on
            quarters.hospital_key = counted.hospital_key
            and quarters.quarter_on = counted.quarter_on
            and themes.code = counted.theme_code
    where themes.is_offered or counted.theme_count > 0
)

select * from final
