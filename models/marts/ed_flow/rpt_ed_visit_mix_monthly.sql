-- One row per hospital, month, dimension and value that occurs: the month's visits by disposition,
-- acuity, arrival mode, hour of arrival and the person's attendance. Every dimension adds up to the
-- month's visits.
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

attendances as (
    {{ typed_rows(
        {"value_code": "string", "value_name": "string"},
        [
            ["01", "First within 365 days"],
            ["02_to_03", "Second or third"],
            ["04_to_09", "Fourth to ninth"],
            ["10_or_later", "Tenth or later"],
            ["look_back_short", "In the first 365 days of the data"],
            ["unlinked", "Person not known"],
        ]
    ) }}
),

names as (
    select
        'disposition' as dimension_code,
        code as value_code,
        name as value_name
    from dispositions
    union all
    select
        'acuity' as dimension_code,
        code as value_code,
        name as value_name
    from acuities
    union all
    select
        'arrival_mode' as dimension_code,
        code as value_code,
        name as value_name
    from arrival_modes
    union all
    select
        'attendance' as dimension_code,
        value_code,
        value_name
    from attendances
),

mixed as (
    select
        hospital_key,
        'disposition' as dimension_code,
        {{ group_label('disposition_code') }} as value_code,
        month_on
    from visits
    union all
    select
        hospital_key,
        'acuity' as dimension_code,
        {{ group_label('acuity_code') }} as value_code,
        month_on
    from visits
    union all
    select
        hospital_key,
        'arrival_mode' as dimension_code,
        {{ group_label('arrival_mode_code') }} as value_code,
        month_on
    from visits
    union all
    select
        hospital_key,
        'attendance' as dimension_code,
        attendance_code as value_code,
        month_on
    from visits
    union all
    select
        hospital_key,
        'arrival_hour' as dimension_code,
        lpad(cast(arrived_hour as string), 2, '0') as value_code,
        month_on
    from visits
),

counted as (
    select
        hospital_key,
        dimension_code,
        value_code,
        count(*) as visits_count,
        month_on
    from mixed
    group by hospital_key, dimension_code, value_code, month_on
),

final as (
    select
        counted.hospital_key,
        counted.dimension_code,
        counted.value_code,
        case
            when counted.dimension_code = 'arrival_hour' then concat(counted.value_code, ':00')
            else coalesce(names.value_name, 'Not recorded')
        end as value_name,
        counted.visits_count,
        counted.month_on
    from counted
    left join names
        on
            counted.dimension_code = names.dimension_code
            and counted.value_code = names.value_code
)

select * from final
