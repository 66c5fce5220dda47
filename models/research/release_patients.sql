-- One row per released person: as much of the attributes as enough others share.
with histories as (
    select * from {{ ref('int_release__histories') }}
),

persons as (
    select * from {{ ref('int_release__persons') }}
),

final as (
    select
        persons.person_key,
        persons.sex_code,
        persons.age_band,
        case
            when {{ levels_where('histories.level_number', 'shows', 'area') }} then persons.zip3
            else '000'
        end as zip3,
        case
            when {{ levels_where('histories.level_number', 'shows', 'observation') }}
                then persons.observation_end_band
            else 'withheld'
        end as observation_end_band,
        case when histories.is_cut then 'cut' else persons.censoring_code end as censoring_code,
        histories.diagnoses_code as diagnoses_shown_code,
        persons.visit_year
    from histories
    inner join persons
        on histories.person_key = persons.person_key
)

select * from final
