-- One row per ICD-10-CM code, categories included.
with source_rows as (
    select * from {{ source('reference', 'icd10cm') }}
),

final as (
    select
        code as diagnosis_code,
        dotted_code,
        category_code,
        chapter_code,
        description as diagnosis_name,
        chapter_name,
        is_leaf
    from source_rows
)

select * from final
