-- One row per person, described by the person's registration that was updated last.
with registrations as (
    select * from {{ ref('int_registrations__persons') }}
),

patients as (
    select * from {{ ref('stg_ehr__patients') }}
),

members as (
    select * from {{ ref('stg_billing__members') }}
),

described as (
    select
        registration_key,
        sex_code,
        postal_code,
        birth_on,
        updated_at
    from patients
    union all
    select
        registration_key,
        sex_code,
        postal_code,
        birth_on,
        updated_at
    from members
),

ranked as (
    select
        registrations.person_key,
        described.sex_code,
        described.postal_code,
        described.birth_on,
        count(*) over (partition by registrations.person_key) as registrations_count,
        row_number() over (
            partition by registrations.person_key
            order by described.updated_at desc nulls last, described.registration_key desc
        ) as recency_rank
    from described
    inner join registrations on described.registration_key = registrations.registration_key
),

-- A death is known once, at one hospital: the registration updated last may not tell.
deaths as (
    select
        registrations.person_key,
        patients.deceased_on
    from patients
    inner join registrations on patients.registration_key = registrations.registration_key
    where patients.deceased_on is not null
    qualify row_number() over (
        partition by registrations.person_key
        order by patients.updated_at desc nulls last, patients.registration_key desc
    ) = 1
),

final as (
    select
        ranked.person_key,
        ranked.sex_code,
        ranked.postal_code,
        cast(ranked.registrations_count as int) as registrations_count,
        ranked.birth_on,
        deaths.deceased_on
    from ranked
    left join deaths on ranked.person_key = deaths.person_key
    where ranked.recency_rank = 1
)

select * from final
