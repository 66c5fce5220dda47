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

related_cells as (
    select
        children.hospital_key,
        children.measure_code,
        children.{{ period }},
        children.is_numerator_hidden
        or hidden_parts.measure_code is not null as is_numerator_hidden
    from children
    left join hidden_parts
        on
            children.hospital_key = hidden_parts.hospital_key
            and children.measure_code = hidden_parts.measure_code
            and children.{{ period }} = hidden_parts.{{ period }}
)
{%- endmacro %}
