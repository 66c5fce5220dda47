-- One row per inpatient encounter with a main discharge diagnosis; of several, the last recorded.
with diagnoses as (
    select * from {{ ref('stg_ehr__inpatient_diagnoses') }}
),

final as (
    select
        encounter_key,
        diagnosis_code as main_diagnosis_code
    from diagnoses
    where sequence_number = 1 and diagnosis_code is not null
    qualify row_number() over (
        partition by encounter_key
        order by recorded_at desc nulls last, diagnosis_key desc
    ) = 1
)

select * from final
