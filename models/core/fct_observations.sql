-- One row per vital sign or laboratory result.
with observations as (
    select * from {{ ref('stg_ehr__observations') }}
),

registrations as (
    select * from {{ ref('int_registrations__persons') }}
),

encounters as (
    select * from {{ ref('fct_encounters') }}
),

final as (
    select
        observations.observation_key,
        encounters.encounter_key,
        registrations.person_key,
        observations.hospital_key,
        observations.observation_code,
        observations.unit_code,
        observations.value,
        observations.observed_at
    from observations
    left join registrations on observations.registration_key = registrations.registration_key
    left join encounters
        on
            coalesce(observations.ed_visit_key, observations.encounter_key)
            = encounters.encounter_key
)

select * from final
