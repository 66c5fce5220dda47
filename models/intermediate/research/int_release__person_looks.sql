-- One row per look of a person beside the visits: attributes, number of stays, observation. Of each
-- level a number, the same for looks that are the same at that level.
-- Columns are written by loops over levels: their indent is that of the result.
-- noqa: disable=layout.indent
with persons as (
    select
        sex_code || '#' || age_band || '#' || coalesce(cast(visit_year as string), '')
            as attributes,
        zip3,
        observation_end_band,
        stays_count
    from {{ ref('int_release__persons') }}
),

looks as (
    select
        attributes,
        zip3,
        observation_end_band,
        stays_count,
        row_number() over (
            order by
                attributes asc nulls last,
                zip3 asc nulls last,
                observation_end_band asc nulls last,
                stays_count asc nulls last
        ) as look_number
    from persons
    group by attributes, zip3, observation_end_band, stays_count
),

final as (
    select
        attributes,
        zip3,
        observation_end_band,
        stays_count,
        look_number
        {%- for level in release_levels() %},
        min(look_number) over (
            partition by
                attributes,
                -- That more stays were cut off is told: an absence is an attribute too.
                stays_count > {{ level["stays"] }}
                {%- if "area" in level["shows"] %},
                zip3
                {%- endif %}
                {%- if "observation" in level["shows"] %},
                observation_end_band
                {%- endif %}
        ) as level_{{ loop.index }}
        {%- endfor %}
    from looks
)

select * from final
