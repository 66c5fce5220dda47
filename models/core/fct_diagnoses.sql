-- One row per diagnosis of an ED visit or an inpatient encounter.
with ed_diagnoses as (
    select * from {{ ref('stg_ehr__ed_visit_diagnoses') }}
),

inpatient_diagnoses as (
    select * from {{ ref('stg_ehr__inpatient_diagnoses') }}
),

encounters as (
    select * from {{ ref('fct_encounters') }}
),

diagnoses as (
    select
        diagnosis_key,
        ed_visit_key as encounter_key,
        'emergency' as setting_code,
        diagnosis_code,
        sequence_number,
        recorded_at
    from ed_diagnoses
    union all
    select
        diagnosis_key,
        encounter_key,
        'inpatient' as setting_code,
        diagnosis_code,
        sequence_number,
        recorded_at
    from inpatient_diagnoses
),

final as (
    select
        diagnoses.diagnosis_key,
        diagnoses.encounter_key,
        encounters.person_key,
        encounters.hospital_key,
        diagnoses.setting_code,
        diagnoses.diagnosis_code,
        diagnoses.sequence_number,
        coalesce(diagnoses.sequence_number = 1, false) as is_main,
        diagnoses.recorded_at as diagnosed_at
    from diagnoses
    inner join encounters on diagnoses.encounter_key = encounters.encounter_key
)

select * from final
