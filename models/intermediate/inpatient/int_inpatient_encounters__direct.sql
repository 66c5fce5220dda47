-- One row per inpatient encounter of a known person that is a direct admission: unplanned, and not
-- through an ED.
--
-- An encounter that begins while another one lasts, or as it ends, goes on from that one, as after
-- a transfer between wards or hospitals: it is no admission of its own.
with measures as (
    select distinct pairing_code
    from {{ ref('ed_return_measures') }}
    where pairing_code = 'direct_admission'
),

encounters as (
    select * from {{ ref('stg_ehr__inpatient_encounters') }}
    where admitted_at is not null
),

registrations as (
    select * from {{ ref('int_registrations__persons') }}
),

admission_types as (
    select * from {{ ref('ed_admission_type_rules') }}
),

occupied as (
    select
        encounters.encounter_key,
        registrations.person_key,
        encounters.hospital_key,
        encounters.ed_visit_key,
        encounters.admission_type_code,
        encounters.admitted_at,
        -- Without a discharge it is not known to last any longer.
        max(
            greatest(
                coalesce(encounters.discharged_at, encounters.admitted_at), encounters.admitted_at
            )
        ) over (
            partition by registrations.person_key
            order by encounters.admitted_at asc nulls last, encounters.encounter_key asc
            rows between unbounded preceding and 1 preceding
        ) as busy_until_at
    from encounters
    inner join registrations on encounters.registration_key = registrations.registration_key
    -- Nobody asks where no measure pairs so.
    cross join measures
),

final as (
    select
        occupied.encounter_key,
        occupied.person_key,
        occupied.hospital_key,
        occupied.admitted_at
    from occupied
    left join admission_types
        on occupied.admission_type_code = admission_types.admission_type_code
    where
        occupied.ed_visit_key is null
        -- A type that is not written down says neither planned nor through an ED.
        and coalesce(admission_types.is_direct, true)
        and not coalesce(occupied.admitted_at <= occupied.busy_until_at, false)
)

select * from final
