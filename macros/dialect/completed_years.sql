{#- Completed years of age on a date. Somebody born on 29 February turns a year older on 1 March
    where the year has no such day. -#}
{% macro completed_years(birth_date, on_date) %}
    {% call lowered("completed_years") -%}
    cast(
        extract(year from {{ on_date }}) - extract(year from {{ birth_date }})
        - case
            when
                extract(month from {{ on_date }}) * 100 + extract(day from {{ on_date }})
                < extract(month from {{ birth_date }}) * 100 + extract(day from {{ birth_date }})
                then 1
            else 0
        end as int
    )
    {%- endcall -%}
{%- endmacro %}
