-- One row per hospital, month, dimension and value that occurs: the month's visits by disposition,
-- acuity, arrival mode and hour of arrival. Every dimension adds up to the month's visits.
with visits as (
    select * from {{ ref('int_ed_flow__visits') }}
),

dispositions as (
    select * from {{ ref('ed_disposition') }}
),

acuities as (
    select * from {{ ref('acuity') }}
),

arrival_modes as (
    select * from {{ ref('arrival_mode') }}
),

mixed as (
    select
        visits.hospital_key,
        'disposition' as dimension_code,
        coalesce(visits.disposition_code, 'not_recorded') as value_code,
        coalesce(dispositions.name, 'Still open or not recorded') as value_name,
        visits.month_on
    from visits
    left join dispositions on visits.disposition_code = dispositions.code
    union all
    select
        visits.hospital_key,
        'acuity' as dimension_code,
        coalesce(visits.acuity_code, 'not_recorded') as value_code,
        coalesce(acuities.name, 'Not recorded') as value_name,
        visits.month_on
    from visits
    left join acuities on visits.acuity_code = acuities.code
    union all
    select
        visits.hospital_key,
        'arrival_mode' as dimension_code,
        coalesce(visits.arrival_mode_code, 'not_recorded') as value_code,
        coalesce(arrival_modes.name, 'Not recorded') as value_name,
        visits.month_on
    from visits
    left join arrival_modes on visits.arrival_mode_code = arrival_modes.code
    union all
    select
        hospital_key,
        'arrival_hour' as dimension_code,
        lpad(cast(arrived_hour as string), 2, '0') as value_code,
        concat(lpad(cast(arrived_hour as string), 2, '0'), ':00') as value_name,
        month_on
    from visits
),

final as (
    select
        hospital_key,
        dimension_code,
        value_code,
        value_name,
        count(*) as visits_count,
        month_on
    from mixed
    group by hospital_key, dimension_code, value_code, value_name, month_on
)

select * from final
