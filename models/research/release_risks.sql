-- One row per attacker and stage. `before`: every stay in bands, as the sample and the bands alone
-- would leave it. `after`: the finished tables of the release, and nothing else.
with before_persons as (
    select
        person_key,
        sex_code || '#' || age_band || '#' || zip3 || '#' || coalesce(
            cast(visit_year as string), ''
        ) as attributes,
        observation_end_band || '#' || censoring_code || '#' || cast(stays_count as string)
            as extras
    from {{ ref('int_release__persons') }}
),

before_visits as (
    select
        stay_key as visit_key,
        person_key,
        stay_number as visit_number,
        coalesce(interval_band, 'first') || '|' || ccsr_codes as sequence_token,
        coalesce(interval_band, 'first') || '|' || every_codes || '|' || acuity_code || '|'
        || arrival_mode_code || '|' || length_of_stay_band || '|' || peer_group_code
            as event_token,
        outcome_code as outcome
    from {{ ref('int_release__visits') }}
),

before_codes as (
    select
        stay_key as visit_key,
        fine_code as code
    from {{ ref('int_release__diagnoses') }}
),

after_persons as (
    select
        person_key,
        sex_code || '#' || age_band || '#' || zip3 || '#' || coalesce(
            cast(visit_year as string), ''
        ) as attributes,
        observation_end_band || '#' || censoring_code || '#' || diagnoses_shown_code as extras
    from {{ ref('release_patients') }}
),

after_visit_codes as (
    select
        visit_key,
        {{ string_agg_ordered("group_code", "+", "group_code") }} as codes,
        max(case when is_main then group_code end) as main_code
    from {{ ref('release_diagnoses') }}
    group by visit_key
),

after_visits as (
    select
        visits.visit_key,
        visits.person_key,
        visits.visit_number,
        coalesce(visits.interval_band, 'first') || '|' || coalesce(codes.main_code, '')
            as sequence_token,
        coalesce(visits.interval_band, 'first') || '|' || coalesce(codes.codes, '') || '*'
        || coalesce(codes.main_code, '') || '|' || visits.acuity_code || '|'
        || visits.arrival_mode_code || '|' || visits.length_of_stay_band || '|'
        || visits.peer_group_code as event_token,
        visits.disposition_code as outcome
    from {{ ref('release_ed_visits') }} as visits
    left join after_visit_codes as codes
        on visits.visit_key = codes.visit_key
),

after_codes as (
    select
        visit_key,
        group_code as code
    from {{ ref('release_diagnoses') }}
),

{{ release_attackers("before", release_setting("maximum_stays")) }},

{{ release_attackers("after", release_setting("maximum_stays")) }},

attackers as (
    select
        'before' as stage_code,
        *
    from before_attackers
    union all
    select
        'after' as stage_code,
        *
    from after_attackers
),

final as (
    select
        attacker_code,
        stage_code,
        cast(sum(persons_count) as bigint) as persons_count,
        cast(min(class_size) as bigint) as smallest_class_size,
        cast(sum(case when class_size = 1 then persons_count else 0 end) as bigint)
            as unique_persons_count,
        cast(sum(case when class_size < 11 then persons_count else 0 end) as bigint)
            as small_class_persons_count,
        cast(1 as double) / cast(min(class_size) as double) as largest_risk,
        -- Rounded, because engines add up in different orders.
        round(
            sum(cast(persons_count as double) / cast(class_size as double))
            / cast(sum(persons_count) as double),
            9
        ) as mean_risk
    from attackers
    group by attacker_code, stage_code
)

select * from final
