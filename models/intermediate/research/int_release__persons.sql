-- One row per person with a stay that may be released: generalised attributes, before anybody saw
-- how many persons share them.
-- sqlfluff:indentation:template_blocks_indent:false
with stays as (
    select * from {{ ref('int_release__stays') }}
    where stay_number = 1
),

patients as (
    select * from {{ ref('dim_patients') }}
),

allowed as (
    select * from {{ ref('zip3_allowed') }}
),

snapshots as (
    select cast(min(data_through_at) as date) as data_through_on
    from {{ ref('dim_snapshots') }}
),

ended as (
    select
        stays.person_key,
        stays.visit_year,
        stays.stays_count,
        stays.arrived_on,
        stays.age_on,
        make_date(stays.visit_year, 12, 31) as year_end_on,
        snapshots.data_through_on
    from stays
    cross join snapshots
),

final as (
    select
        ended.person_key,
        coalesce(patients.sex_code, 'U') as sex_code,
        {{ generalise_birth_date('patients.birth_on', 'ended.age_on') }} as age_band,
        {{ safe_harbor_zip3('patients.postal_code', 'allowed.zip3') }} as zip3,
        {%- if release_setting('one_year') %}
        coalesce({{ interval_band(day_diff(
            'ended.arrived_on', 'least(ended.year_end_on, ended.data_through_on)'
        )) }}, 'unknown') as observation_end_band,
        case
            when ended.data_through_on < ended.year_end_on then 'data_end' else 'year_end'
        end as censoring_code,
        ended.visit_year,
        {%- else %}
        -- Counted from a shifted day to the end of the data it would tell the shift.
        'withheld' as observation_end_band,
        'withheld' as censoring_code,
        cast(null as int) as visit_year,
        {%- endif %}
        ended.stays_count
    from ended
    left join patients
        on ended.person_key = patients.person_key
    left join allowed
        on {{ zip3_of('patients.postal_code') }} = allowed.zip3
)

select * from final
