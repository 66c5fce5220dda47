-- One row per reviewed case and underlying cause, of the review that stands.
with reviews as (
    select * from {{ ref('fct_chart_reviews') }}
),

answers as (
    select * from {{ ref('stg_chart_audit__review_answers') }}
),

final as (
    select
        answers.answer_key as review_theme_key,
        reviews.review_key,
        answers.answer_code as theme_code
    from answers
    inner join reviews on answers.review_key = reviews.review_key
    where answers.field_code = 'theme'
)

select * from final
