-- One row per released ED stay: the first few of a released person, in bands.
-- sqlfluff:indentation:template_blocks_indent:false
with histories as (
    select * from {{ ref('int_release__histories') }}
),

outcomes as (
    select * from {{ ref('int_release__outcomes') }}
),

patients as (
    select * from {{ ref('release_patients') }}
),

visits as (
    select * from {{ ref('int_release__visits') }}
),

final as (
    select
        visits.stay_key as visit_key,
        visits.person_key,
        {%- for detail in ("peer_group", "acuity", "arrival_mode") %}
        case
            when {{ levels_where('histories.level_number', 'shows', detail) }}
                then visits.{{ detail }}_code
            else 'withheld'
        end as {{ detail }}_code,
        {%- endfor %}
        case
            when outcomes.outcomes_code = 'all_full' then visits.outcome_code
            when
                outcomes.outcomes_code = 'last_full'
                and visits.stay_number = histories.stays_shown
                then visits.outcome_code
            when
                outcomes.outcomes_code = 'all_coarse'
                or (
                    outcomes.outcomes_code = 'last_coarse'
                    and visits.stay_number = histories.stays_shown
                )
                then
                    case
                        when visits.outcome_code = 'hospital' then 'hospital' else 'home_or_other'
                    end
            else 'withheld'
        end as disposition_code,
        visits.interval_band,
        case
            when {{ levels_where('histories.level_number', 'shows', 'length_of_stay') }}
                then visits.length_of_stay_band
            else 'withheld'
        end as length_of_stay_band,
        visits.stay_number as visit_number,
        patients.visit_year,
        visits.arrived_on
    from visits
    inner join patients
        on visits.person_key = patients.person_key
    inner join histories
        on
            visits.person_key = histories.person_key
            and visits.stay_number <= histories.stays_shown
    inner join outcomes
        on histories.class_code = outcomes.class_code
)

select * from final
