-- One row per released person.
with persons as (
    select * from {{ ref('int_release__persons') }}
),

final as (
    select
        person_key,
        sex_code,
        age_band,
        zip3,
        visit_year
    from persons
    where is_released
)

select * from final
