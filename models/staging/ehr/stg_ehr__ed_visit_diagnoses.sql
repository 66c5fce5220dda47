-- One row per diagnosis of an ED visit.
with source_rows as (
    select * from {{ source('ehr', 'ed_visit_diagnoses') }}
),

final as (
    select
        diagnosis_id as diagnosis_key,
        visit_id as ed_visit_key,
        upper(replace(diagnosis_code, '.', '')) as diagnosis_code,
        sequence_number,
        cast(recorded_at as timestamp) as recorded_at
    from source_rows
    where deleted_at is null
)

select * from final
