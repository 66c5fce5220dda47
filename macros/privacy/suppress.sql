{#- Cell suppression: no published count of 1 to 10, none that can be derived, zero is allowed and
    differs from hidden (CMS cell size suppression policy). -#}

{#- The count is one that must not be published; false for null. -#}
{% macro is_small_count(count) -%}
    coalesce({{ count }} between 1 and {{ var("largest_hidden_count") }}, false)
{%- endmacro %}

{#- A count of more than 10 without its last digits: what is added, taken off or compared with
    yesterday's is then no small count. Zero stays zero, and 11 does not become 10. -#}
{% macro round_up_count(count, step=10) -%}
    {{ whole_quotient(count ~ " + " ~ (step - 1), step) }} * {{ step }}
{%- endmacro %}

{#- The count, or null where it is hidden. -#}
{% macro suppress(count, is_hidden) -%}
    case when not {{ is_hidden }} then {{ count }} end
{%- endmacro %}

{#- Hidden cells that add up to a known sum stay hidden: each may still be six values of ten or more.

    Of cells_count cells of 1 to 10, one is at most sum - (cells_count - 1) and at least
    sum - 10 * (cells_count - 1). Two cells that sum to 2 or 20 are as good as shown, and a sum of 1 to
    10 is a small count itself. -#}
{% macro is_sum_safe(sum, cells_count) -%}
    {%- set largest = var("largest_hidden_count") -%}
    (
        {{ cells_count }} = 0
        or {{ sum }} > {{ largest }}
        and least({{ largest }}, {{ sum }} - ({{ cells_count }} - 1))
        - greatest(1, {{ sum }} - {{ largest }} * ({{ cells_count }} - 1)) >= 5
    )
{%- endmacro %}

{#- Claims of a month are answered by now, as far as they will be shown; false without a month. -#}
{% macro has_run_out(month, data_through_at) -%}
    coalesce(
        {{ add_days(
            "cast(" ~ month ~ " + interval '1' month as date)", var("publication_runout_days")
        ) }} <= {{ data_through_at }},
        false
    )
{%- endmacro %}

{#- Why a row is hidden; null where it is shown. -#}
{% macro suppression_code(is_open, is_hidden) -%}
    case when {{ is_open }} then 'open_period' when {{ is_hidden }} then 'small_cell' end
{%- endmacro %}
