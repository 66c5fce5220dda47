{#- The first day of the month of a date or timestamp. -#}
{% macro month_of(value) -%}
    {%- call lowered("month_of") -%}
    cast(date_trunc('month', {{ value }}) as date)
    {%- endcall -%}
{%- endmacro %}

{#- Monday is 1, Sunday 7; the plain day-of-week parts of the engines start on different days. -#}
{% macro iso_day_of_week(date) %}
    {{- return(adapter.dispatch("iso_day_of_week")(date)) -}}
{% endmacro %}
{% macro default__iso_day_of_week(date) -%}
    cast(isodow({{ date }}) as int)
{%- endmacro %}
{% macro spark__iso_day_of_week(date) -%}
    cast(extract(dayofweek_iso from {{ date }}) as int)
{%- endmacro %}

{#- A select of every date of a closed range, as `date_on`; no rows where an end is null.

    relation has one row with the columns first_on and last_on. -#}
{% macro date_spine(relation) %}
    {{- return(adapter.dispatch("date_spine")(relation)) -}}
{% endmacro %}
{% macro default__date_spine(relation) -%}
    select cast(unnest(generate_series(first_on, last_on, interval '1' day)) as date) as date_on
    from {{ relation }}
{%- endmacro %}
{% macro spark__date_spine(relation) -%}
    select explode(sequence(first_on, last_on, interval '1' day)) as date_on
    from {{ relation }}
{%- endmacro %}

{#- A select of every whole number of a closed range, as `number`, beside some columns.

    relation has the columns first_number and last_number. -#}
{% macro number_spine(relation, columns) %}
    {{- return(adapter.dispatch("number_spine")(relation, columns)) -}}
{% endmacro %}
{% macro default__number_spine(relation, columns) -%}
    select {{ columns | join(", ") }}, unnest(range(first_number, last_number + 1)) as number
    from {{ relation }}
{%- endmacro %}
{% macro spark__number_spine(relation, columns) -%}
    select {{ columns | join(", ") }}, explode(sequence(first_number, last_number)) as number
    from {{ relation }}
{%- endmacro %}

{#- The first day of the half-year, January or July, of a date. -#}
{% macro half_year_of(value) -%}
    {%- call lowered("half_year_of") -%}
    make_date(
        cast(extract(year from {{ value }}) as int),
        case when extract(month from {{ value }}) <= 6 then 1 else 7 end,
        1
    )
    {%- endcall -%}
{%- endmacro %}
