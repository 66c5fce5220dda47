{#- Fails where a combination of columns stands in more than one row: the grain is not what the
    model says. Shows how often, never the values, which may be keys of persons. -#}
{% test unique_combination(model, combination_of_columns) %}
    select count(*) as rows_count
    from {{ model }}
    group by {{ combination_of_columns | join(", ") }}
    having count(*) > 1
{% endtest %}
