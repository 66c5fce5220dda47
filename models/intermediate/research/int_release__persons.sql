-- One row per person with a stay that may be released: generalised attributes, and whether enough
-- others share them. Classes that are too small lose their ZIP3 first; what is then still too
-- small is left out of the release with everything that belongs to it.
with stays as (
    select * from {{ ref('int_release__stays') }}
    where stay_number = 1
),

patients as (
    select * from {{ ref('dim_patients') }}
),

allowed as (
    select * from {{ ref('zip3_allowed') }}
),

generalised as (
    select
        stays.person_key,
        coalesce(patients.sex_code, 'U') as sex_code,
        {{ generalise_birth_date('patients.birth_on', 'stays.arrived_on') }} as age_band,
        {{ safe_harbor_zip3('patients.postal_code', 'allowed.zip3') }} as zip3,
        stays.visit_year
    from stays
    left join patients
        on stays.person_key = patients.person_key
    left join allowed
        on {{ zip3_of('patients.postal_code') }} = allowed.zip3
),

-- Where only some areas of a class are too small, their persons join those whose area is 000.
coarsened as (
    select
        person_key,
        sex_code,
        age_band,
        case
            when
                count(*) over (partition by sex_code, age_band, zip3, visit_year)
                >= {{ var('release_minimum_class_size') }}
                then zip3
            else '000'
        end as zip3,
        visit_year
    from generalised
),

final as (
    select
        person_key,
        sex_code,
        age_band,
        zip3,
        visit_year,
        count(*) over (partition by sex_code, age_band, zip3, visit_year)
        >= {{ var('release_minimum_class_size') }} as is_released
    from coarsened
)

select * from final
