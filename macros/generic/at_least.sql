{#- Fails where a relation has fewer rows than it must: an empty code set makes every mart built on
    it empty and green. -#}
{% test at_least(model, minimum) %}
    select count(*) as rows_count
    from {{ model }}
    having count(*) < {{ minimum }}
{% endtest %}
