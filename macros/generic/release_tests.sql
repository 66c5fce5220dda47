{#- Fails where a combination of quasi-identifiers is shared by fewer than `minimum` rows of a table
    with one row per person. Says nothing about histories: a person may still be the only one with
    a sequence of visits. Shows sizes, never values. -#}
{% test k_anonymous(model, quasi_identifiers, minimum) %}
    select count(*) as persons_count
    from {{ model }}
    group by {{ quasi_identifiers | join(", ") }}
    having count(*) < {{ minimum }}
{% endtest %}

{#- Fails where a value of a column is borne by fewer than `minimum` persons. -#}
{% test held_by_persons(model, column_name, minimum) %}
    select count(distinct person_key) as persons_count
    from {{ model }}
    group by {{ column_name }}
    having count(distinct person_key) < {{ minimum }}
{% endtest %}

{#- Fails where an attacker of the finished release is left with fewer than 11 persons (3 for somebody
    who holds another release: there the outcomes count too). The numbers stand here: the test must
    not follow a variable that somebody lowered. Says nothing about what is not in the release. -#}
{% test no_small_release_class(model) %}
    select
        attacker_code,
        smallest_class_size
    from {{ model }}
    where
        stage_code = 'after'
        and smallest_class_size < case when attacker_code = 'other_release' then 3 else 11 end
{% endtest %}

{#- Fails where a visit bears a number that the gate does not count: it looks at the first so many. -#}
{% test every_visit_is_counted(model) %}
    select count(*) as visits_count
    from {{ model }}
    where
        visit_number is null
        or visit_number < 1
        or visit_number > {{ release_setting("maximum_stays") }}
    having count(*) > 0
{% endtest %}

{#- Fails where the mean risk of an attacker of the finished release is above 0.05. -#}
{% test release_risk_is_low(model) %}
    select
        attacker_code,
        mean_risk
    from {{ model }}
    where stage_code = 'after' and attacker_code <> 'other_release' and mean_risk > 0.05
{% endtest %}

{#- Fails where those who look the same in everything but the outcome all went to hospital after a
    visit, or none did, or where a shown outcome is that of fewer than 3 of them. Reads the release
    alone. (That their share is near everybody's is seen to by int_release__outcomes.) -#}
{% test outcomes_are_diverse(model) %}
    {%- set numbers = range(1, release_setting("maximum_stays") + 1) %}
    with visits as (
        select * from {{ model }}
    ),

    patients as (
        select * from {{ ref("release_patients") }}
    ),

    codes as (
        select
            visit_key,
            {{ string_agg_ordered("group_code", "+", "group_code, is_main") }} as codes
        from {{ ref("release_diagnoses") }}
        group by visit_key
    ),

    histories as (
        select
            visits.person_key,
            count(*) as visits_count,
            {%- for number in numbers %}
            max(
                case
                    when visits.visit_number = {{ number }}
                        then
                            coalesce(visits.interval_band, 'first') || '|'
                            || coalesce(codes.codes, '') || '|' || visits.acuity_code || '|'
                            || visits.arrival_mode_code || '|' || visits.length_of_stay_band || '|'
                            || visits.peer_group_code
                end
            ) as visit_{{ number }}
                {{- "" if loop.last else "," }}
            {%- endfor %}
        from visits
        left join codes on visits.visit_key = codes.visit_key
        group by visits.person_key
    ),

    ended as (
        select
            patients.sex_code,
            patients.age_band,
            patients.zip3,
            patients.observation_end_band,
            patients.censoring_code,
            patients.diagnoses_shown_code,
            coalesce(patients.visit_year, 0) as visit_year,
            {%- for number in numbers %}
            histories.visit_{{ number }},
            {%- endfor %}
            histories.visits_count,
            visits.visit_number,
            visits.disposition_code,
            count(*) as persons_count
        from visits
        inner join patients on visits.person_key = patients.person_key
        inner join histories on visits.person_key = histories.person_key
        where visits.disposition_code <> 'withheld'
        group by
            patients.sex_code,
            patients.age_band,
            patients.zip3,
            patients.observation_end_band,
            patients.censoring_code,
            patients.diagnoses_shown_code,
            coalesce(patients.visit_year, 0),
            {%- for number in numbers %}
            histories.visit_{{ number }},
            {%- endfor %}
            histories.visits_count,
            visits.visit_number,
            visits.disposition_code
    )

    select
        visit_number,
        min(persons_count) as smallest_count
    from ended
    group by
        sex_code,
        age_band,
        zip3,
        observation_end_band,
        censoring_code,
        diagnoses_shown_code,
        visit_year,
        {%- for number in numbers %}
        visit_{{ number }},
        {%- endfor %}
        visits_count,
        visit_number
    having
        min(persons_count) < 3
        or sum(case when disposition_code = 'hospital' then persons_count else 0 end)
        in (0, sum(persons_count))
{% endtest %}

{#- Fails where all who share attributes and intervals have the same diagnoses, and they are shown. -#}
{% test diagnoses_are_diverse(model, patients, diagnoses) %}
    {%- set numbers = range(1, release_setting("maximum_stays") + 1) %}
    with codes as (
        select
            visit_key,
            {{ string_agg_ordered("group_code", "+", "group_code, is_main") }} as codes
        from {{ diagnoses }}
        group by visit_key
    ),

    histories as (
        select
            visits.person_key,
            {%- for number in numbers %}
            max(
                case
                    when visits.visit_number = {{ number }}
                        then coalesce(visits.interval_band, 'first')
                end
            ) as interval_{{ number }},
            max(case when visits.visit_number = {{ number }} then coalesce(codes.codes, '') end)
                as codes_{{ number }},
            {%- endfor %}
            max(case when codes.codes is null then 0 else 1 end) as shown_weight
        from {{ model }} as visits
        left join codes on visits.visit_key = codes.visit_key
        group by visits.person_key
    )

    select
        count(*) as persons_count
    from histories
    inner join {{ patients }} as patients on histories.person_key = patients.person_key
    group by
        patients.sex_code,
        patients.age_band,
        coalesce(patients.visit_year, 0)
        {%- for number in numbers %},
        histories.interval_{{ number }}
        {%- endfor %}
    having
        max(histories.shown_weight) = 1
        {%- for number in numbers %}
        and coalesce(min(histories.codes_{{ number }}) = max(histories.codes_{{ number }}), true)
        {%- endfor %}
{% endtest %}
