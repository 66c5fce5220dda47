-- One row per index visit that a direct admission follows before any return to an ED; index visits
-- without one have no row here. A companion of the headline, which asks for an ED visit.
with pairs as (
    select * from {{ ref('int_ed_stays__direct_admissions') }}
),

stays as (
    select * from {{ ref('int_ed_stays__outcomes') }}
),

admissions as (
    select * from {{ ref('int_inpatient_encounters__direct') }}
),

diagnoses as (
    select * from {{ ref('int_inpatient_encounters__main_diagnoses') }}
),

persons as (
    select * from {{ ref('int_persons__attributes') }}
),

hospitals as (
    select * from {{ ref('stg_ehr__hospitals') }}
),

joined as (
    select
        stays.index_visit_key,
        admissions.encounter_key,
        stays.person_key,
        stays.last_hospital_key as hospital_key,
        admissions.hospital_key as admission_hospital_key,
        diagnoses.main_diagnosis_code as admission_diagnosis_code,
        {{ elapsed_seconds("stays.index_departed_at", "admissions.admitted_at") }}
            as elapsed_seconds,
        persons.birth_on,
        cast({{ to_local("admissions.admitted_at", "hospitals.time_zone") }} as date)
            as admitted_on,
        admissions.admitted_at
    from pairs
    inner join stays on pairs.stay_key = stays.stay_key
    inner join admissions on pairs.encounter_key = admissions.encounter_key
    left join diagnoses on admissions.encounter_key = diagnoses.encounter_key
    left join persons on stays.person_key = persons.person_key
    left join hospitals on admissions.hospital_key = hospitals.hospital_key
),

final as (
    select
        index_visit_key,
        encounter_key,
        person_key,
        hospital_key,
        admission_hospital_key,
        admission_diagnosis_code,
        {{ completed_years("birth_on", "admitted_on") }} as admission_age_years,
        elapsed_seconds,
        admitted_at
    from joined
)

select * from final
