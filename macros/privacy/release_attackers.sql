{#- CTEs that end in `{{ stage }}_attackers` (attacker_code, class_size, persons_count): how many persons
    are left in a group of which size, the smallest over all that the attacker may know of a person.

    Three CTEs must stand beside it: {{ stage }}_persons (person_key, attributes, extras),
    {{ stage }}_visits (visit_key, person_key, visit_number, sequence_token, event_token, outcome) and
    {{ stage }}_codes (visit_key, code). An event's token tells its sequence token and its codes. Visits
    are numbered from 1 to `visits`, each number once a person. A pair of the same event, or code, is a
    single one.

    Texts become numbers first, and persons of whom everything is the same one row with a weight: what
    is counted is the same, and a million persons are few rows. -#}
{% macro release_attackers(stage, visits) %}
{%- set numbers = range(1, visits + 1) -%}
{{ stage }}_endings as (
    select
        event_token,
        outcome,
        -- Any of them: all visits of one token have the same.
        min(sequence_token) as sequence_token,
        min(visit_key) as visit_key,
        row_number() over (order by event_token asc nulls last, outcome asc nulls last)
            as ending_number
    from {{ stage }}_visits
    group by event_token, outcome
),

{{ stage }}_events as (
    select
        event_token,
        outcome,
        visit_key,
        ending_number,
        min(ending_number) over (partition by event_token) as event_number,
        min(ending_number) over (partition by sequence_token) as sequence_number
    from {{ stage }}_endings
),

{{ stage }}_abouts as (
    select
        attributes,
        extras,
        row_number() over (order by attributes asc nulls last, extras asc nulls last)
            as about_number,
        dense_rank() over (order by attributes asc nulls last) as attributes_number
    from {{ stage }}_persons
    group by attributes, extras
),

{{ stage }}_histories as (
    select
        visits.person_key
        {%- for number in numbers %},
        coalesce(max(case when visits.visit_number = {{ number }} then events.ending_number end), 0)
            as ending_{{ number }}
        {%- endfor %}
    from {{ stage }}_visits as visits
    inner join {{ stage }}_events as events
        on
            visits.event_token = events.event_token
            and visits.outcome = events.outcome
    group by visits.person_key
),

{{ stage }}_records as (
    select
        abouts.about_number,
        abouts.attributes_number,
        {%- for number in numbers %}
        histories.ending_{{ number }},
        {%- endfor %}
        count(*) as persons_count
    from {{ stage }}_histories as histories
    inner join {{ stage }}_persons as persons
        on histories.person_key = persons.person_key
    inner join {{ stage }}_abouts as abouts
        on
            persons.attributes = abouts.attributes
            and persons.extras = abouts.extras
    group by
        abouts.about_number,
        abouts.attributes_number
        {%- for number in numbers %},
        histories.ending_{{ number }}
        {%- endfor %}
),

{{ stage }}_known as (
    select
        records.about_number,
        records.attributes_number,
        {%- for number in numbers %}
        coalesce(events_{{ number }}.event_number, 0) as event_{{ number }},
        coalesce(events_{{ number }}.sequence_number, 0) as sequence_{{ number }},
        {%- endfor %}
        records.persons_count
    from {{ stage }}_records as records
    {%- for number in numbers %}
    left join {{ stage }}_events as events_{{ number }}
        on records.ending_{{ number }} = events_{{ number }}.ending_number
    {%- endfor %}
),

{{ stage }}_subjects as (
    select
        row_number() over (
            order by attributes_number asc nulls last
            {%- for number in numbers %}, event_{{ number }} asc nulls last{% endfor %}
        ) as subject_number,
        attributes_number,
        {%- for number in numbers %}
        event_{{ number }},
        {%- endfor %}
        sum(persons_count) as persons_count
    from {{ stage }}_known
    group by
        attributes_number
        {%- for number in numbers %},
        event_{{ number }}
        {%- endfor %}
),

{{ release_pair_attackers(stage, numbers) }},

{{ stage }}_attackers as (
    select
        'person_attributes' as attacker_code,
        sum(persons_count) as class_size,
        sum(persons_count) as persons_count
    from {{ stage }}_known
    group by attributes_number
    union all
    select
        'visit_sequence' as attacker_code,
        sum(persons_count) as class_size,
        sum(persons_count) as persons_count
    from {{ stage }}_known
    group by
        attributes_number
        {%- for number in numbers %},
        sequence_{{ number }}
        {%- endfor %}
    union all
    select
        'whole_record' as attacker_code,
        sum(persons_count) as class_size,
        sum(persons_count) as persons_count
    from {{ stage }}_known
    group by
        about_number
        {%- for number in numbers %},
        event_{{ number }}
        {%- endfor %}
    union all
    select
        'other_release' as attacker_code,
        persons_count as class_size,
        persons_count
    from {{ stage }}_records
    union all
    select
        'two_codes' as attacker_code,
        bearers_count as class_size,
        sum(persons_count) as persons_count
    from {{ stage }}_worst_codes
    group by bearers_count
    union all
    select
        'two_codes_and_attributes' as attacker_code,
        alike_count as class_size,
        sum(persons_count) as persons_count
    from {{ stage }}_worst_codes
    group by alike_count
    union all
    select
        'two_events' as attacker_code,
        alike_count as class_size,
        sum(persons_count) as persons_count
    from {{ stage }}_worst_events
    group by alike_count
)
{%- endmacro %}

{#- The CTEs {{ stage }}_worst_codes and {{ stage }}_worst_events: of each subject the smallest group over
    all pairs of its codes, and of its events. A subject is all persons of the same attributes and
    events. -#}
{% macro release_pair_attackers(stage, numbers) %}
{{ stage }}_code_numbers as (
    select
        code,
        row_number() over (order by code asc nulls last) as code_number
    from {{ stage }}_codes
    group by code
),

{{ stage }}_event_codes as (
    select distinct
        events.event_number,
        code_numbers.code_number
    from {{ stage }}_events as events
    inner join {{ stage }}_codes as codes
        on events.visit_key = codes.visit_key
    inner join {{ stage }}_code_numbers as code_numbers
        on codes.code = code_numbers.code
    -- One ending of an event is enough.
    where events.ending_number = events.event_number
),

{{ stage }}_subject_events as (
    {%- for number in numbers %}
    select
        subject_number,
        attributes_number,
        persons_count,
        event_{{ number }} as event_number
    from {{ stage }}_subjects
    where event_{{ number }} > 0
        {%- if not loop.last %}
    union all
        {%- endif %}
    {%- endfor %}
),

{{ stage }}_subject_codes as (
    select
        subjects.subject_number,
        subjects.attributes_number,
        subjects.persons_count,
        event_codes.code_number
    from {{ stage }}_subject_events as subjects
    inner join {{ stage }}_event_codes as event_codes
        on subjects.event_number = event_codes.event_number
    group by
        subjects.subject_number,
        subjects.attributes_number,
        subjects.persons_count,
        event_codes.code_number
),

{{ stage }}_code_pairs as (
    select
        firsts.subject_number,
        firsts.attributes_number,
        firsts.persons_count,
        firsts.code_number as first_code,
        seconds.code_number as second_code
    from {{ stage }}_subject_codes as firsts
    inner join {{ stage }}_subject_codes as seconds
        on
            firsts.subject_number = seconds.subject_number
            and firsts.code_number <= seconds.code_number
),

{{ stage }}_alike_codes as (
    select
        attributes_number,
        first_code,
        second_code,
        sum(persons_count) as alike_count
    from {{ stage }}_code_pairs
    group by attributes_number, first_code, second_code
),

{{ stage }}_borne_codes as (
    select
        attributes_number,
        first_code,
        second_code,
        alike_count,
        sum(alike_count) over (partition by first_code, second_code) as bearers_count
    from {{ stage }}_alike_codes
),

{{ stage }}_worst_codes as (
    select
        pairs.subject_number,
        min(pairs.persons_count) as persons_count,
        min(borne.bearers_count) as bearers_count,
        min(borne.alike_count) as alike_count
    from {{ stage }}_code_pairs as pairs
    inner join {{ stage }}_borne_codes as borne
        on
            pairs.attributes_number = borne.attributes_number
            and pairs.first_code = borne.first_code
            and pairs.second_code = borne.second_code
    group by pairs.subject_number
),

{{ stage }}_event_pairs as (
    {%- set seen = [] -%}
    {%- for first in numbers -%}
        {%- for second in range(first, numbers | length + 1) -%}
            {%- set events_count = 1 if first == second else 2 -%}
            {%- if seen %}
    union all
            {%- endif %}
    select
        subject_number,
        attributes_number,
        persons_count,
        event_{{ first }} as first_event,
        event_{{ second }} as second_event,
        {{ events_count }} as events_count
    from {{ stage }}_subjects
    where
        event_{{ second }} > 0
            {#- What a person shows twice is known once. -#}
            {%- for earlier in seen if (1 if earlier[0] == earlier[1] else 2) == events_count %}
        and not (
            event_{{ first }} = event_{{ earlier[0] }} and event_{{ second }} = event_{{ earlier[1] }}
        )
            {%- endfor -%}
            {%- do seen.append([first, second]) -%}
        {%- endfor -%}
    {%- endfor %}
),

{{ stage }}_alike_events as (
    select
        attributes_number,
        first_event,
        second_event,
        events_count,
        sum(persons_count) as alike_count
    from {{ stage }}_event_pairs
    group by attributes_number, first_event, second_event, events_count
),

{{ stage }}_worst_events as (
    select
        pairs.subject_number,
        min(pairs.persons_count) as persons_count,
        min(alike.alike_count) as alike_count
    from {{ stage }}_event_pairs as pairs
    inner join {{ stage }}_alike_events as alike
        on
            pairs.attributes_number = alike.attributes_number
            and pairs.first_event = alike.first_event
            and pairs.second_event = alike.second_event
            and pairs.events_count = alike.events_count
    group by pairs.subject_number
)
{%- endmacro %}
