{#- Macros that lower the privacy class of a value. A release column that holds a date, a birth date
    or a geography without having passed one of them is a defect. -#}

{#- The calendar year of a date: all that may stay of it. -#}
{% macro year_of(date) -%}
    {%- call lowered("year_of") -%}
    cast(extract(year from {{ date }}) as int)
    {%- endcall -%}
{%- endmacro %}

{#- Ages in bands of 5 to 15 years. From 90 on there is one band: a birth year, or any other date
    that gives such an age away, must not stand beside it. -#}
{% macro age_band(age_years) -%}
    {%- call lowered("age_band") -%}
    case
        when {{ age_years }} is null then 'unknown'
        when {{ age_years }} >= 90 then '90+'
        when {{ age_years }} >= 75 then '75-89'
        when {{ age_years }} >= 60 then '60-74'
        when {{ age_years }} >= 45 then '45-59'
        when {{ age_years }} >= 30 then '30-44'
        when {{ age_years }} >= 18 then '18-29'
        when {{ age_years }} >= 5 then '05-17'
        when {{ age_years }} >= 0 then '00-04'
        else 'unknown'
    end
    {%- endcall -%}
{%- endmacro %}

{#- A birth date becomes the age band on a date. -#}
{% macro generalise_birth_date(birth_date, on_date) -%}
    {{ age_band(completed_years(birth_date, on_date)) }}
{%- endmacro %}

{#- The first three digits of a ZIP code, to look it up with; not yet what may be released. -#}
{% macro zip3_of(postal_code) -%}
    {%- call lowered("zip3_of") -%}
    substring({{ postal_code }}, 1, 3)
    {%- endcall -%}
{%- endmacro %}

{#- The first three digits of a ZIP code where they are on the allow-list, else 000. `allowed_zip3` is
    the column of privacy.zip3_allowed in a left join on the first three digits: what is not on the
    list, or not known, is 000 because nothing matched. -#}
{% macro safe_harbor_zip3(postal_code, allowed_zip3) -%}
    {%- call lowered("safe_harbor_zip3") -%}
    case
        when {{ allowed_zip3 }} = substring({{ postal_code }}, 1, 3) then {{ allowed_zip3 }}
        else '000'
    end
    {%- endcall -%}
{%- endmacro %}

{#- Days between two events; null for a first event, which has none before it. -#}
{% macro interval_band(days) -%}
    {%- call lowered("interval_band") -%}
    case
        when {{ days }} < 0 then 'unknown'
        when {{ days }} = 0 then '0'
        when {{ days }} <= 3 then '1-3'
        when {{ days }} <= 30 then '4-30'
        when {{ days }} <= 180 then '31-180'
        when {{ days }} > 180 then '>180'
    end
    {%- endcall -%}
{%- endmacro %}

{#- Days of all rows of a group together. Of a group of one they are that one's: such a group is hidden
    with its count. -#}
{% macro total_days(days) -%}
    {%- call lowered("total_days") -%}
    sum({{ days }})
    {%- endcall -%}
{%- endmacro %}

{#- The label of a group whose members are counted. -#}
{% macro group_label(code) -%}
    {%- call lowered("group_label") -%}
    coalesce({{ code }}, 'not_recorded')
    {%- endcall -%}
{%- endmacro %}

{#- Which visit of a person it is within a year, as the label of a group. -#}
{% macro attendance_band(number, is_look_back_known) -%}
    {%- call lowered("attendance_band") -%}
    case
        when {{ number }} is null then 'unlinked'
        when not {{ is_look_back_known }} then 'look_back_short'
        when {{ number }} = 1 then '01'
        when {{ number }} <= 3 then '02_to_03'
        when {{ number }} <= 9 then '04_to_09'
        else '10_or_later'
    end
    {%- endcall -%}
{%- endmacro %}

{#- The hour of a clock reading, 0 to 23: the label of a group, too. -#}
{% macro hour_of(reading) -%}
    {%- call lowered("hour_of") -%}
    cast(extract(hour from {{ reading }}) as int)
    {%- endcall -%}
{%- endmacro %}

{#- Of the minutes of a group, ranked from the shortest, the least that so many tenths of the measured
    ones do not exceed (nearest rank). -#}
{% macro tenths_of_minutes(minutes, rank, measured, tenths) -%}
    {%- call lowered("tenths_of_minutes") -%}
    min(case when {{ rank }} * 10 >= {{ measured }} * {{ tenths }} then {{ minutes }} end)
    {%- endcall -%}
{%- endmacro %}

{#- Minutes in the ED: exact lengths tell one stay from all others. -#}
{% macro length_of_stay_band(minutes) -%}
    {%- call lowered("length_of_stay_band") -%}
    case
        when {{ minutes }} is null or {{ minutes }} < 0 then 'unknown'
        when {{ minutes }} < 120 then '<2h'
        when {{ minutes }} < 240 then '2-4h'
        when {{ minutes }} < 480 then '4-8h'
        when {{ minutes }} < 1440 then '8-24h'
        else '>=24h'
    end
    {%- endcall -%}
{%- endmacro %}

{#- A date moved by a whole number of days, the same for all dates of a person; the release account
    draws the number and forgets it. Distances stay; a day that is known from elsewhere would tell it. -#}
{% macro shifted_date(from_date, days) -%}
    {%- call lowered("shifted_date") -%}
    {{ add_days(from_date, days) }}
    {%- endcall -%}
{%- endmacro %}
