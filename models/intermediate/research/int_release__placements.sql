-- One row per person: the first level at which enough persons, of those no earlier level took, look
-- the same. Null where there is none: that person is not released.
-- sqlfluff:indentation:template_blocks_indent:false
with signatures as (
    select * from {{ ref('int_release__signatures') }}
),

{% for level in release_levels() -%}
{%- set before = "level_" ~ (loop.index - 1) -%}
level_{{ loop.index }} as (
    select
        signatures.person_key,
        {%- for later in range(loop.index, release_levels() | length + 1) %}
        signatures.signature_{{ later }},
        {%- endfor %}
        {% if loop.first -%}
        case
            when
                count(*) over (partition by signatures.signature_{{ loop.index }})
                >= {{ release_setting('minimum_class_size') }}
                then 1
        end as level_number
        {%- else -%}
        case
            when signatures.level_number is not null then signatures.level_number
            when
                sum(case when signatures.level_number is null then 1 else 0 end) over (
                    partition by signatures.signature_{{ loop.index }}
                ) >= {{ release_setting('minimum_class_size') }}
                then {{ loop.index }}
        end as level_number
        {%- endif %}
    from {{ "" if loop.first else before ~ " as " }}signatures
),

{% endfor -%}
final as (
    select
        placed.person_key,
        case placed.level_number
            {%- for level in release_levels() %}
            when {{ loop.index }} then signatures.signature_{{ loop.index }}
            {%- endfor %}
        end as signature,
        placed.level_number
    from level_{{ release_levels() | length }} as placed
    inner join signatures
        on placed.person_key = signatures.person_key
)

select * from final
