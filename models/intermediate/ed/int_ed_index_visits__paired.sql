-- One row per pairing and index visit, with what followed it. Each pairing has a pair table of its
-- own; here they stand under one another.
--
-- The name of the pairing is a constant of each part: who asks for one of them reads that alone.
{{ config(materialized='view') }}

with returns as (
    select * from {{ ref('fct_ed_returns') }}
),

direct_admissions as (
    select * from {{ ref('fct_ed_direct_admissions') }}
),

reattendances as (
    select * from {{ ref('fct_ed_reattendances') }}
),

final as (
    select
        'after_discharge_home' as pairing_code,
        index_visit_key,
        return_visit_key,
        hospital_key,
        return_hospital_key,
        index_diagnosis_code,
        return_diagnosis_code,
        return_outcome_code,
        index_age_years,
        return_age_years,
        elapsed_seconds,
        follow_up_seconds,
        is_return_admitted,
        index_month_on
    from returns
    union all
    select
        'direct_admission' as pairing_code,
        returns.index_visit_key,
        cast(null as string) as return_visit_key,
        returns.hospital_key,
        direct_admissions.admission_hospital_key as return_hospital_key,
        returns.index_diagnosis_code,
        direct_admissions.admission_diagnosis_code as return_diagnosis_code,
        case
            when direct_admissions.encounter_key is not null then 'admitted'
        end as return_outcome_code,
        returns.index_age_years,
        direct_admissions.admission_age_years as return_age_years,
        direct_admissions.elapsed_seconds,
        returns.follow_up_seconds,
        direct_admissions.encounter_key is not null as is_return_admitted,
        returns.index_month_on
    from returns
    left join direct_admissions on returns.index_visit_key = direct_admissions.index_visit_key
    union all
    select
        'after_attendance' as pairing_code,
        index_visit_key,
        return_visit_key,
        hospital_key,
        hospital_key as return_hospital_key,
        index_diagnosis_code,
        return_diagnosis_code,
        return_outcome_code,
        index_age_years,
        return_age_years,
        elapsed_seconds,
        follow_up_seconds,
        is_return_admitted,
        index_month_on
    from reattendances
)

select * from final
