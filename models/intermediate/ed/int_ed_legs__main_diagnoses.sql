-- One row per leg that has a main ED diagnosis: that of the registration which left last.
with registrations as (
    select * from {{ ref('int_ed_visits__legs') }}
),

diagnoses as (
    select * from {{ ref('int_ed_visits__main_diagnoses') }}
),

final as (
    select
        registrations.leg_key,
        diagnoses.main_diagnosis_code
    from registrations
    inner join diagnoses on registrations.ed_visit_key = diagnoses.ed_visit_key
    qualify row_number() over (
        partition by registrations.leg_key
        order by registrations.leaving_rank asc
    ) = 1
)

select * from final
