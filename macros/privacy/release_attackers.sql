{#- CTEs that end in `{{ stage }}_attackers` (attacker_code, person_key, class_size): for every person the
    smallest group the attacker is left with, over all that the attacker may know.

    Three CTEs must stand beside it: {{ stage }}_persons (person_key, attributes, extras),
    {{ stage }}_visits (person_key, visit_number, sequence_token, event_token, outcome) and
    {{ stage }}_codes (person_key, code). A pair of the same event, or code, is a single one. -#}
{% macro release_attackers(stage) %}
{{ stage }}_histories as (
    select
        {{ stage }}_persons.person_key,
        {{ stage }}_persons.attributes,
        {{ stage }}_persons.extras,
        {{ string_agg_ordered(stage ~ "_visits.sequence_token", "#", stage ~ "_visits.visit_number") }}
            as sequence,
        {{ string_agg_ordered(stage ~ "_visits.event_token", "#", stage ~ "_visits.visit_number") }}
            as record,
        {{ string_agg_ordered(stage ~ "_visits.outcome", "#", stage ~ "_visits.visit_number") }}
            as outcomes
    from {{ stage }}_persons
    inner join {{ stage }}_visits
        on {{ stage }}_persons.person_key = {{ stage }}_visits.person_key
    group by
        {{ stage }}_persons.person_key, {{ stage }}_persons.attributes, {{ stage }}_persons.extras
),

{{ stage }}_code_pairs as (
    select distinct
        firsts.person_key,
        firsts.code as first_code,
        seconds.code as second_code
    from {{ stage }}_codes as firsts
    inner join {{ stage }}_codes as seconds
        on
            firsts.person_key = seconds.person_key
            and firsts.code <= seconds.code
),

{{ stage }}_known_codes as (
    select
        {{ stage }}_code_pairs.person_key,
        count(*) over (
            partition by {{ stage }}_code_pairs.first_code, {{ stage }}_code_pairs.second_code
        ) as bearers_count,
        count(*) over (
            partition by
                {{ stage }}_persons.attributes,
                {{ stage }}_code_pairs.first_code,
                {{ stage }}_code_pairs.second_code
        ) as alike_count
    from {{ stage }}_code_pairs
    inner join {{ stage }}_persons
        on {{ stage }}_code_pairs.person_key = {{ stage }}_persons.person_key
),

{{ stage }}_event_pairs as (
    select distinct
        {{ stage }}_persons.person_key,
        {{ stage }}_persons.attributes,
        firsts.event_token as first_event,
        seconds.event_token as second_event,
        case when firsts.visit_number = seconds.visit_number then 1 else 2 end as events_count
    from {{ stage }}_visits as firsts
    inner join {{ stage }}_visits as seconds
        on
            firsts.person_key = seconds.person_key
            and firsts.visit_number <= seconds.visit_number
    inner join {{ stage }}_persons
        on firsts.person_key = {{ stage }}_persons.person_key
),

{{ stage }}_known_events as (
    select
        person_key,
        count(*) over (
            partition by attributes, first_event, second_event, events_count
        ) as alike_count
    from {{ stage }}_event_pairs
),

{{ stage }}_attackers as (
    select
        'person_attributes' as attacker_code,
        person_key,
        count(*) over (partition by attributes) as class_size
    from {{ stage }}_histories
    union all
    select
        'visit_sequence' as attacker_code,
        person_key,
        count(*) over (partition by attributes, sequence) as class_size
    from {{ stage }}_histories
    union all
    select
        'whole_record' as attacker_code,
        person_key,
        count(*) over (partition by attributes, extras, record) as class_size
    from {{ stage }}_histories
    union all
    select
        'other_release' as attacker_code,
        person_key,
        count(*) over (partition by attributes, extras, record, outcomes) as class_size
    from {{ stage }}_histories
    union all
    select
        'two_codes' as attacker_code,
        person_key,
        min(bearers_count) as class_size
    from {{ stage }}_known_codes
    group by person_key
    union all
    select
        'two_codes_and_attributes' as attacker_code,
        person_key,
        min(alike_count) as class_size
    from {{ stage }}_known_codes
    group by person_key
    union all
    select
        'two_events' as attacker_code,
        person_key,
        min(alike_count) as class_size
    from {{ stage }}_known_events
    group by person_key
)
{%- endmacro %}
