{#- CTEs that end in related_cells(hospital_key, measure_code, PERIOD, is_numerator_hidden): what a
    cell hides by itself, and what it must hide because of another measure of the same cell.

    cells: a CTE with hospital_key, measure_code, numerator_count, is_numerator_small and the column
    `period`; a CTE nested_measures must stand beside it. -#}
{% macro hide_related_measures(cells, period) %}
-- A child within 1 to 10 of a shown parent leaves the difference to be read off.
near_parents as (
    select distinct
        children.hospital_key,
        children.measure_code,
        children.{{ period }}
    from {{ cells }} as children
    inner join nested_measures on children.measure_code = nested_measures.child_measure_code
    inner join {{ cells }} as parents
        on
            nested_measures.parent_measure_code = parents.measure_code
            and children.hospital_key = parents.hospital_key
            and children.{{ period }} = parents.{{ period }}
    where
        not parents.is_numerator_small
        and {{ is_small_count("parents.numerator_count - children.numerator_count") }}
),

children as (
    select
        {{ cells }}.hospital_key,
        {{ cells }}.measure_code,
        {{ cells }}.{{ period }},
        {{ cells }}.is_numerator_small
        or near_parents.measure_code is not null as is_numerator_hidden
    from {{ cells }}
    left join near_parents
        on
            {{ cells }}.hospital_key = near_parents.hospital_key
            and {{ cells }}.measure_code = near_parents.measure_code
            and {{ cells }}.{{ period }} = near_parents.{{ period }}
),

-- A whole minus its visible parts is the hidden part.
hidden_parts as (
    select distinct
        children.hospital_key,
        nested_measures.parent_measure_code as measure_code,
        children.{{ period }}
    from children
    inner join nested_measures on children.measure_code = nested_measures.child_measure_code
    where nested_measures.is_part and children.is_numerator_hidden
),

-- A hidden whole is the sum of its parts: one of them at least must be hidden with it.
bare_wholes as (
    select
        wholes.hospital_key,
        wholes.measure_code,
        wholes.{{ period }}
    from children as wholes
    inner join nested_measures on wholes.measure_code = nested_measures.parent_measure_code
    inner join children as parts
        on
            nested_measures.child_measure_code = parts.measure_code
            and wholes.hospital_key = parts.hospital_key
            and wholes.{{ period }} = parts.{{ period }}
    where nested_measures.is_part and wholes.is_numerator_hidden
    group by wholes.hospital_key, wholes.measure_code, wholes.{{ period }}
    having not bool_or(parts.is_numerator_hidden)
),

parts_of_bare_wholes as (
    select distinct
        bare_wholes.hospital_key,
        nested_measures.child_measure_code as measure_code,
        bare_wholes.{{ period }}
    from bare_wholes
    inner join nested_measures on bare_wholes.measure_code = nested_measures.parent_measure_code
    where nested_measures.is_part
),

related_cells as (
    select
        children.hospital_key,
        children.measure_code,
        children.{{ period }},
        children.is_numerator_hidden
        or hidden_parts.measure_code is not null
        or parts_of_bare_wholes.measure_code is not null as is_numerator_hidden
    from children
    left join hidden_parts
        on
            children.hospital_key = hidden_parts.hospital_key
            and children.measure_code = hidden_parts.measure_code
            and children.{{ period }} = hidden_parts.{{ period }}
    left join parts_of_bare_wholes
        on
            children.hospital_key = parts_of_bare_wholes.hospital_key
            and children.measure_code = parts_of_bare_wholes.measure_code
            and children.{{ period }} = parts_of_bare_wholes.{{ period }}
)
{%- endmacro %}
