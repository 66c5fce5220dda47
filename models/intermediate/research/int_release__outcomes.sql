-- One row per class of persons who look the same: how much may be told of how their stays ended.
--
-- Where all or none of a class went to hospital, to be in it is to be told: nothing is shown. Each
-- pattern that is shown is shared by a few, or the same history in another release would be found
-- by it. Everybody in a class is shown as much: who is left blank would be known to be rare.
-- Columns are written by loops over levels and stays: their indent is that of the result.
-- noqa: disable=layout.indent
with histories as (
    select * from {{ ref('int_release__histories') }}
),

visits as (
    select * from {{ ref('int_release__visits') }}
),

ended as (
    select
        histories.person_key,
        histories.class_code,
        histories.stays_shown,
        {%- for number in range(1, release_setting('maximum_stays') + 1) %}
        max(
            case
                when visits.stay_number = {{ number }}
                    then case when visits.outcome_code = 'hospital' then 1 else 0 end
            end
        ) as hospital_{{ number }},
        {%- endfor %}
        {{ string_agg_ordered("visits.outcome_code", "#", "visits.stay_number") }} as all_full,
        {{ string_agg_ordered(
            "case when visits.outcome_code = 'hospital' then '1' else '0' end",
            "#", "visits.stay_number"
        ) }} as all_coarse,
        max(case when visits.stay_number = histories.stays_shown then visits.outcome_code end)
            as last_full,
        max(
            case
                when visits.stay_number = histories.stays_shown
                    then case when visits.outcome_code = 'hospital' then '1' else '0' end
            end
        ) as last_coarse
    from histories
    inner join visits
        on
            histories.person_key = visits.person_key
            and histories.stays_shown >= visits.stay_number
    group by histories.person_key, histories.class_code, histories.stays_shown
),

patterns as (
    select
        class_code,
        stays_shown,
        {%- for number in range(1, release_setting('maximum_stays') + 1) %}
        hospital_{{ number }},
        {%- endfor %}
        all_full,
        all_coarse,
        last_full,
        last_coarse,
        count(*) as persons_count
    from ended
    group by
        class_code,
        stays_shown,
        {%- for number in range(1, release_setting('maximum_stays') + 1) %}
        hospital_{{ number }},
        {%- endfor %}
        all_full,
        all_coarse,
        last_full,
        last_coarse
),

weighed as (
    select
        class_code,
        stays_shown,
        persons_count,
        {%- for number in range(1, release_setting('maximum_stays') + 1) %}
        hospital_{{ number }} * persons_count as hospital_{{ number }},
        sum(hospital_{{ number }} * persons_count) over (partition by stays_shown)
        as usual_hospital_{{ number }},
        {%- endfor %}
        sum(persons_count) over (partition by stays_shown) as usual_count,
        {%- for pattern in ("all_full", "all_coarse", "last_full", "last_coarse") %}
        sum(persons_count) over (partition by class_code, {{ pattern }}) as {{ pattern }}_count
            {{- "" if loop.last else "," }}
        {%- endfor %}
    from patterns
),

classes as (
    select
        class_code,
        stays_shown,
        {%- for number in range(1, release_setting('maximum_stays') + 1) %}
        coalesce({{ is_outcome_open(number) }}, true) as is_open_{{ number }},
        {%- endfor %}
        {%- for pattern in ("all_full", "all_coarse", "last_full", "last_coarse") %}
        min({{ pattern }}_count) >= {{ release_setting('minimum_outcome_persons') }}
        as is_{{ pattern }}_shared{{ "" if loop.last else "," }}
        {%- endfor %}
    from weighed
    group by class_code, stays_shown
),

judged as (
    select
        class_code,
        is_all_full_shared,
        is_all_coarse_shared,
        is_last_full_shared,
        is_last_coarse_shared,
        {%- for number in range(1, release_setting('maximum_stays') + 1) %}
        {{ "" if loop.first else "and " }}is_open_{{ number }}
        {%- endfor %} as is_all_open,
        case stays_shown
            {%- for number in range(1, release_setting('maximum_stays') + 1) %}
            when {{ number }} then is_open_{{ number }}
            {%- endfor %}
        end as is_last_open
    from classes
),

final as (
    select
        class_code,
        case
            when is_all_open and is_all_full_shared then 'all_full'
            when is_all_open and is_all_coarse_shared then 'all_coarse'
            when is_last_open and is_last_full_shared then 'last_full'
            when is_last_open and is_last_coarse_shared then 'last_coarse'
            else 'none'
        end as outcomes_code
    from judged
)

select * from final
