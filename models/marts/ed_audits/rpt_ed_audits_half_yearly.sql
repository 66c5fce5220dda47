-- One row per hospital, half-year with a case first reviewed in it, and finding: issue or theme.
--
-- A case counts in the half-year of its first review, which never changes: a later review may
-- change what was found, not when.
with reviews as (
    select
        *,
        {{ half_year_of('first_submitted_at') }} as period_on
    from {{ ref('fct_chart_reviews') }}
    where is_quality_issue is not null
),

review_themes as (
    select * from {{ ref('fct_chart_review_themes') }}
),

findings as (
    select
        code as finding_code,
        code_name as finding_name,
        group_code as theme_group_code,
        sort_number
    from {{ ref('audit_codes') }}
    where field_code = 'theme'
    union all
    select
        'quality_issue' as finding_code,
        'Adverse event or quality issue' as finding_name,
        cast(null as string) as theme_group_code,
        0 as sort_number
),

-- The last review that was handed over: what came before it has been handed over, too.
reaches as (
    select max(submitted_at) as reviewed_through_at from {{ ref('fct_chart_reviews') }}
),

periods as (
    select
        hospital_key,
        count(*) as reviewed_count,
        count(case when is_quality_issue then review_key end) as issue_count,
        period_on
    from reviews
    group by hospital_key, period_on
),

-- Counted theme by theme of the list, not grouped by what was found: no code becomes a row.
themes as (
    select
        reviews.hospital_key,
        findings.finding_code,
        count(case when review_themes.theme_code = findings.finding_code then 1 end)
            as theme_count,
        reviews.period_on
    from reviews
    inner join review_themes on reviews.review_key = review_themes.review_key
    cross join findings
    where reviews.is_quality_issue
    group by reviews.hospital_key, findings.finding_code, reviews.period_on
),

final as (
    select
        periods.hospital_key,
        findings.finding_code,
        findings.finding_name,
        findings.theme_group_code,
        findings.sort_number,
        case
            when findings.finding_code = 'quality_issue' then periods.reviewed_count
            else periods.issue_count
        end as of_count,
        case
            when findings.finding_code = 'quality_issue' then periods.issue_count
            else coalesce(themes.theme_count, 0)
        end as found_count,
        {{ add_days(
            "cast(periods.period_on + interval '6' month as date)",
            var('publication_closing_days')
        ) }} <= reaches.reviewed_through_at as is_closed,
        periods.period_on
    from periods
    cross join findings
    cross join reaches
    left join themes
        on
            periods.hospital_key = themes.hospital_key
            and periods.period_on = themes.period_on
            and findings.finding_code = themes.finding_code
)

select * from final
