-- One row per ED stay that may be released: the first few of a person, within the calendar year of
-- the first where the profile says so. What is still exact here is banded or left out later.
-- sqlfluff:indentation:template_blocks_indent:false
with stays as (
    select * from {{ ref('int_release__eligible_stays') }}
),

ordered as (
    select
        stay_key,
        person_key,
        peer_group_code,
        acuity_code,
        arrival_mode_code,
        disposition_code,
        arrived_on,
        age_on,
        arrived_at,
        left_at,
        {{ year_of('arrived_on') }} as visit_year,
        min({{ year_of('arrived_on') }}) over (partition by person_key) as first_year,
        row_number() over (
            partition by person_key order by arrived_at asc nulls last, stay_key asc nulls last
        ) as stay_number,
        lag(arrived_on) over (
            partition by person_key order by arrived_at asc nulls last, stay_key asc nulls last
        ) as previous_arrived_on
    from stays
),

counted as (
    select
        stay_key,
        person_key,
        peer_group_code,
        acuity_code,
        arrival_mode_code,
        disposition_code,
        visit_year,
        stay_number,
        arrived_on,
        age_on,
        previous_arrived_on,
        arrived_at,
        left_at,
        count(*) over (partition by person_key) as stays_count
    from ordered
    {%- if release_setting('one_year') %}
    where visit_year = first_year
    {%- endif %}
),

final as (
    select
        stay_key,
        person_key,
        peer_group_code,
        acuity_code,
        arrival_mode_code,
        disposition_code,
        visit_year,
        cast(stay_number as int) as stay_number,
        cast(stays_count as int) as stays_count,
        arrived_on,
        age_on,
        previous_arrived_on,
        arrived_at,
        left_at
    from counted
    where stay_number <= {{ release_setting('maximum_stays') }}
)

select * from final
