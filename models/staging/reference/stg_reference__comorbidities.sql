-- One row per comorbidity index, category and ICD-10 code.
with source_rows as (
    select * from {{ source('reference', 'comorbidities') }}
),

final as (
    select
        comorbidity_key,
        index_code,
        category_code,
        icd10_code,
        source,
        is_prefix
    from source_rows
)

select * from final
