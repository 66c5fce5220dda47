-- One row per person: the days between which data on the person exist.
-- From the first contact to the last one, or to death where that came before it. Somebody without
-- a contact in between may have moved away: nothing tells the two apart.
with contacts as (
    select * from {{ ref('int_cohorts__contacts') }}
),

patients as (
    select * from {{ ref('dim_patients') }}
),

contact_days as (
    select
        person_key,
        min(started_on) as first_on,
        greatest(max(started_on), max(ended_on)) as last_on
    from contacts
    where person_key is not null
    group by person_key
),

final as (
    select
        contact_days.person_key,
        contact_days.first_on as observed_from_on,
        case
            when patients.deceased_on < contact_days.last_on then patients.deceased_on
            else contact_days.last_on
        end as observed_until_on
    from contact_days
    left join patients
        on contact_days.person_key = patients.person_key
)

select * from final
