-- One row per look of a visit: everything of it that any level shows. Of each level a number, the
-- same for looks that are the same at that level.
-- Columns are written by loops over levels: their indent is that of the result.
-- noqa: disable=layout.indent
with visits as (
    select
        coalesce(interval_band, 'first') as interval_band,
        {{ release_look_columns() | join(",\n        ") }}
    from {{ ref('int_release__visits') }}
),

looks as (
    select
        interval_band,
        {{ release_look_columns() | join(",\n        ") }},
        row_number() over (
            order by
                interval_band asc nulls last,
                {{ release_look_columns() | join(" asc nulls last,\n                ") }}
                asc nulls last
        ) as look_number
    from visits
    group by
        interval_band,
        {{ release_look_columns() | join(",\n        ") }}
),

final as (
    select
        interval_band,
        {{ release_look_columns() | join(",\n        ") }},
        look_number
        {%- for level in release_levels() %},
        min(look_number) over (
            partition by
                interval_band,
                {{ level["diagnoses"] }}_codes
                {%- for detail in level["shows"] if detail in release_details_shown() %},
                {{ release_detail_column(detail) }}
                {%- endfor %}
        ) as level_{{ loop.index }}
        {%- endfor %}
    from looks
)

select * from final
