-- One row per ICD-10-CM code and its first CCSR category.
with source_rows as (
    select * from {{ source('reference', 'ccsr') }}
),

final as (
    select
        code as diagnosis_code,
        ccsr_code,
        ccsr_name
    from source_rows
)

select * from final
