-- One row per ED visit that has a main diagnosis; of several, the one recorded last.
{{ config(materialized='view') }}

with diagnoses as (
    select * from {{ ref('stg_ehr__ed_visit_diagnoses') }}
),

final as (
    select
        ed_visit_key,
        diagnosis_code as main_diagnosis_code
    from diagnoses
    where sequence_number = 1 and diagnosis_code is not null
    qualify row_number() over (
        partition by ed_visit_key
        order by recorded_at desc nulls last, diagnosis_key desc
    ) = 1
)

select * from final
