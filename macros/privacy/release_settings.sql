{#- Parameters of a research release: those of the profile in the variable release_profile, each of
    which a variable of its own name (release_minimum_class_size ...) may replace in a test. -#}
{% macro release_setting(name) %}
    {%- set profile = var("release_profiles")[var("release_profile")] -%}
    {%- do return(var("release_" ~ name, profile[name])) -%}
{% endmacro %}

{#- The steps of generalisation, from the most to the least that is shown of a history. -#}
{% macro release_levels() %}{% do return(release_setting("levels")) %}{% endmacro %}

{#- The conditions `column = level number` of the levels that pass a test on one of their entries.

    attribute: `diagnoses` or `shows`; value: what the entry must be, or must hold. -#}
{% macro levels_where(column, attribute, value) -%}
    {%- set numbers = [] -%}
    {%- for level in release_levels() -%}
        {%- if value == level[attribute] or (attribute == "shows" and value in level[attribute]) -%}
            {%- do numbers.append(loop.index) -%}
        {%- endif -%}
    {%- endfor -%}
    coalesce({{ column }} in ({{ numbers | join(", ") or "null" }}), false)
{%- endmacro %}

{#- What may be told of how a stay ended: rare ends are with others. An open stay is `other`. -#}
{% macro outcome_group(disposition_code) -%}
    case
        when {{ disposition_code }} in ('admitted', 'observation', 'transferred', 'died')
            then 'hospital'
        when {{ disposition_code }} = 'home' then 'home'
        else 'other'
    end
{%- endmacro %}

{#- Of a class, some and not all went to hospital after the stay of that number, and their share is not
    far from everybody's (t-closeness); null where the class has no such stay. -#}
{% macro is_outcome_open(number) -%}
    sum(hospital_{{ number }}) > 0
    and sum(hospital_{{ number }}) < sum(persons_count)
    and abs(
        cast(sum(hospital_{{ number }}) as double) / cast(sum(persons_count) as double)
        - cast(min(usual_hospital_{{ number }}) as double) / cast(min(usual_count) as double)
    ) <= {{ release_setting('largest_outcome_distance') }}
{%- endmacro %}
