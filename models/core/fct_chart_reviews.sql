-- One row per reviewed case: the review that stands, which is the reconciled one, else the first.
with reviews as (
    select * from {{ ref('stg_chart_audit__case_reviews') }}
),

answers as (
    select * from {{ ref('stg_chart_audit__review_answers') }}
),

returns as (
    select * from {{ ref('fct_ed_returns') }}
),

-- After a rotation of tokens a case may have been opened again under its new one: the review that
-- was submitted last stands, a reconciled one before all others.
placed as (
    select
        *,
        row_number() over (
            partition by hospital_key, index_visit_key
            order by
                case when stage_code = 'reconciled' then 1 else 2 end asc nulls last,
                submitted_at desc nulls last,
                review_key asc nulls last
        ) as place,
        min(case when stage_code = 'first' then submitted_at end) over (
            partition by hospital_key, index_visit_key
        ) as first_submitted_at
    from reviews
    where stage_code in ('first', 'reconciled')
),

seconds as (
    select distinct
        hospital_key,
        index_visit_key
    from reviews
    where stage_code = 'second'
),

findings as (
    select
        review_key,
        max(case when field_code = 'quality_issue' then answer_code end) as quality_issue_code,
        max(case when field_code = 'diagnosis_concordance' then answer_code end)
            as diagnosis_concordance_code,
        max(case when field_code = 'event_type' then answer_code end) as event_type_code,
        max(case when field_code = 'severity' then answer_code end) as severity_code,
        max(case when field_code = 'preventability' then answer_code end) as preventability_code
    from answers
    group by review_key
),

final as (
    select
        placed.review_key,
        -- Only a hospital's own visit: a store says of itself whose it is.
        returns.index_visit_key,
        placed.hospital_key,
        placed.reason_code,
        placed.stage_code,
        findings.diagnosis_concordance_code,
        findings.event_type_code,
        findings.severity_code,
        findings.preventability_code,
        findings.quality_issue_code = 'yes' as is_quality_issue,
        seconds.index_visit_key is not null as is_reviewed_twice,
        returns.index_visit_key is not null as is_case_known,
        placed.quarter_on,
        returns.index_month_on,
        placed.submitted_at,
        coalesce(placed.first_submitted_at, placed.submitted_at) as first_submitted_at
    from placed
    left join findings on placed.review_key = findings.review_key
    left join seconds
        on
            placed.hospital_key = seconds.hospital_key
            and placed.index_visit_key = seconds.index_visit_key
    left join returns
        on
            placed.index_visit_key = returns.index_visit_key
            and placed.hospital_key = returns.hospital_key
    where placed.place = 1
)

select * from final
