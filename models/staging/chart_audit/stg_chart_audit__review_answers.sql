-- One row per review, question and answer.
with source_rows as (
    select * from {{ source('chart_audit', 'review_answers') }}
),

final as (
    select
        answer_id as answer_key,
        review_id as review_key,
        field_code,
        code as answer_code
    from source_rows
)

select * from final
