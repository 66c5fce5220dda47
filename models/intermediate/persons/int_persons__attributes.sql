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
        deceased_on,
        updated_at
    from patients
    union all
    select
        registration_key,
        sex_code,
        postal_code,
        birth_on,
        cast(null as date) as deceased_on,
        updated_at
    from members
),

ranked as (
    select
        registrations.person_key,
        described.sex_code,
        described.postal_code,
        described.birth_on,
        described.updated_at,
        -- A death is known once, at one hospital: the registration updated last may not tell.
        first_value(described.deceased_on) over (
            partition by registrations.person_key
            order by
                case when described.deceased_on is null then 1 else 0 end asc,
                described.updated_at desc nulls last,
                described.registration_key desc
            rows between unbounded preceding and unbounded following
        ) as deceased_on,
        count(*) over (partition by registrations.person_key) as registrations_count,
        row_number() over (
            partition by registrations.person_key
            order by described.updated_at desc nulls last, described.registration_key desc
        ) as recency_rank
    from described
    inner join registrations on described.registration_key = registrations.registration_key
),

final as (
    select
        person_key,
        sex_code,
        postal_code,
        cast(registrations_count as int) as registrations_count,
        birth_on,
        deceased_on
    from ranked
    where recency_rank = 1
)

select * from final
