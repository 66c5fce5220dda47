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
