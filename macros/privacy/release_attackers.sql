{#- CTEs that end in `{{ stage }}_attackers` (attacker_code, class_size, persons_count): how many persons
    are left in a group of which size, the smallest over all that the attacker may know of a person.

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
        {{ stage }}_persons.person_key,
        {{ stage }}_persons.attributes,
        firsts.code as first_code,
        seconds.code as second_code
    from {{ stage }}_codes as firsts
    inner join {{ stage }}_codes as seconds
        on
            firsts.person_key = seconds.person_key
            and firsts.code <= seconds.code
    inner join {{ stage }}_persons
        on firsts.person_key = {{ stage }}_persons.person_key
),

{{ stage }}_alike_codes as (
    select
        attributes,
        first_code,
        second_code,
        count(*) as alike_count
    from {{ stage }}_code_pairs
    group by attributes, first_code, second_code
),

{{ stage }}_bearers as (
    select
        first_code,
        second_code,
        sum(alike_count) as bearers_count
    from {{ stage }}_alike_codes
    group by first_code, second_code
),

{{ stage }}_worst_codes as (
    select
        pairs.person_key,
        min(bearers.bearers_count) as bearers_count,
        min(alike.alike_count) as alike_count
    from {{ stage }}_code_pairs as pairs
    inner join {{ stage }}_bearers as bearers
        on
            pairs.first_code = bearers.first_code
            and pairs.second_code = bearers.second_code
    inner join {{ stage }}_alike_codes as alike
        on
            pairs.attributes = alike.attributes
            and pairs.first_code = alike.first_code
            and pairs.second_code = alike.second_code
    group by pairs.person_key
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

{{ stage }}_worst_events as (
    select
        person_key,
        min(alike_count) as alike_count
    from {{ stage }}_known_events
    group by person_key
),

{{ stage }}_attackers as (
    select
        'person_attributes' as attacker_code,
        count(*) as class_size,
        count(*) as persons_count
    from {{ stage }}_histories
    group by attributes
    union all
    select
        'visit_sequence' as attacker_code,
        count(*) as class_size,
        count(*) as persons_count
    from {{ stage }}_histories
    group by attributes, sequence
    union all
    select
        'whole_record' as attacker_code,
        count(*) as class_size,
        count(*) as persons_count
    from {{ stage }}_histories
    group by attributes, extras, record
    union all
    select
        'other_release' as attacker_code,
        count(*) as class_size,
        count(*) as persons_count
    from {{ stage }}_histories
    group by attributes, extras, record, outcomes
    union all
    select
        'two_codes' as attacker_code,
        bearers_count as class_size,
        count(*) as persons_count
    from {{ stage }}_worst_codes
    group by bearers_count
    union all
    select
        'two_codes_and_attributes' as attacker_code,
        alike_count as class_size,
        count(*) as persons_count
    from {{ stage }}_worst_codes
    group by alike_count
    union all
    select
        'two_events' as attacker_code,
        alike_count as class_size,
        count(*) as persons_count
    from {{ stage }}_worst_events
    group by alike_count
)
{%- endmacro %}
