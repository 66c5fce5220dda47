-- One row per cohort: its definition as the file in cohorts/ gives it.
with definitions as (
    {{ cohort_descriptions(cohort_exposures()) }}
),

final as (
    select
        cohort_code,
        status_code,
        cohort_name,
        owner_name,
        description,
        definition,
        version_number
    from definitions
)

select * from final
