-- One row per ICD-10-CM code, categories included.
with diagnoses as (
    select * from {{ ref('stg_reference__icd10cm') }}
),

ccsr as (
    select * from {{ ref('stg_reference__ccsr') }}
),

final as (
    select
        diagnoses.diagnosis_code,
        diagnoses.category_code,
        diagnoses.chapter_code,
        ccsr.ccsr_code,
        diagnoses.diagnosis_name,
        diagnoses.chapter_name,
        ccsr.ccsr_name,
        diagnoses.is_leaf
    from diagnoses
    left join ccsr on diagnoses.diagnosis_code = ccsr.diagnosis_code
)

select * from final
