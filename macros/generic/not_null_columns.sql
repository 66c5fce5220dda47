{#- Fails where one of several columns is null, and shows how often each is. One query and one test
    for all of them: a build spends more time on the test around a query than on the query. -#}
{% test not_null_columns(model, columns) %}
    select
        {% for column in columns -%}
            count(*) - count({{ column }}) as {{ column }}{{ "," if not loop.last }}
        {% endfor %}
    from {{ model }}
    having count(*) > least({% for column in columns %}count({{ column }}){{ ", " if not loop.last }}{% endfor %})
{% endtest %}
