-- One row per performed procedure.
with procedures as (
    select * from {{ ref('stg_ehr__procedures') }}
),

registrations as (
    select * from {{ ref('int_registrations__persons') }}
),

encounters as (
    select * from {{ ref('fct_encounters') }}
),

final as (
    select
        procedures.procedure_key,
        encounters.encounter_key,
        registrations.person_key,
        procedures.hospital_key,
        procedures.procedure_code,
        procedures.performed_at
    from procedures
    left join registrations on procedures.registration_key = registrations.registration_key
    left join encounters
        on
            coalesce(procedures.ed_visit_key, procedures.encounter_key)
            = encounters.encounter_key
)

select * from final
