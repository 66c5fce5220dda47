{#- Fails where a published count lies between 1 and 10. The bounds stand here as numbers: the test
    must not follow a variable that somebody lowered. Counts the rows, never shows them. -#}
{% test no_small_counts(model, columns) %}
    select count(*) as rows_count
    from {{ model }}
    where
        {%- for column in columns %}
        {% if not loop.first %}or {% endif %}{{ column }} between 1 and 10
        {%- endfor %}
    having count(*) > 0
{% endtest %}
