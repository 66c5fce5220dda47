-- One row per case and submitted review.
with source_rows as (
    select * from {{ source('chart_audit', 'case_reviews') }}
),

final as (
    select
        review_id as review_key,
        index_visit_key,
        hospital_id as hospital_key,
        reason_code,
        stage_code,
        quarter_on,
        cast(submitted_at as timestamp) as submitted_at
    from source_rows
)

select * from final
