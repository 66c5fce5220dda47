-- One row per cohort: its definition, which says nothing about any person.
{{ config(alias='dim_cohorts') }}
with cohorts as (
    select * from {{ ref('dim_cohorts') }}
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
    from cohorts
)

select * from final
