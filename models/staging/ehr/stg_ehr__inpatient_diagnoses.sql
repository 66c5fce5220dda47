-- One row per discharge diagnosis of an inpatient encounter.
with source_rows as (
    select * from {{ source('ehr', 'inpatient_diagnoses') }}
),

final as (
    select
        diagnosis_id as diagnosis_key,
        encounter_id as encounter_key,
        upper(replace(diagnosis_code, '.', '')) as diagnosis_code,
        sequence_number,
        cast(recorded_at as timestamp) as recorded_at
    from source_rows
    where deleted_at is null
)

select * from final
