-- One row per person, as the registration that was updated last describes the person.
with persons as (
    select * from {{ ref('int_persons__attributes') }}
),

final as (
    select
        person_key,
        sex_code,
        postal_code,
        {{ zip3_of('postal_code') }} as zip3,
        cast(extract(year from birth_on) as int) as birth_year,
        registrations_count,
        birth_on,
        deceased_on
    from persons
)

select * from final
