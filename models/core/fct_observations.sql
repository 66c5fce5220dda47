-- One row per vital sign or laboratory result.
with observations as (
    select * from {{ ref('stg_ehr__observations') }}
),

registrations as (
    select * from {{ ref('int_registrations__persons') }}
),

final as (
    select
        observations.observation_key,
        coalesce(observations.ed_visit_key, observations.encounter_key) as encounter_key,
        registrations.person_key,
        observations.hospital_key,
        observations.observation_code,
        observations.unit_code,
        observations.value,
        observations.observed_at
    from observations
    left join registrations on observations.registration_key = registrations.registration_key
)

select * from final
