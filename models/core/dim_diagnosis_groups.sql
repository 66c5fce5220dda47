-- One row per diagnosis group, prefix and ICD-10-CM code that begins with it. A prefix that no code
-- begins with keeps a row without a code: a test finds it.
with diagnosis_groups as (
    select * from {{ ref('ed_diagnosis_groups') }}
),

diagnoses as (
    select * from {{ ref('dim_diagnoses') }}
),

final as (
    select
        diagnosis_groups.group_code,
        diagnosis_groups.icd10_prefix,
        diagnoses.diagnosis_code,
        diagnosis_groups.maximum_age_years
    from diagnosis_groups
    left join diagnoses
        on {{ starts_with("diagnoses.diagnosis_code", "diagnosis_groups.icd10_prefix") }}
)

select * from final
