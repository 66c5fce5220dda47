-- One row per ED stay whose day is known to everybody who reads a newspaper or a calendar: a
-- shifted date of such a stay would tell the person's shift, and with it every other date.
with stays as (
    select * from {{ ref('int_release__whole_stays') }}
),

ed_visits as (
    select * from {{ ref('fct_ed_visits') }}
),

diagnoses as (
    select * from {{ ref('fct_diagnoses') }}
),

pins as (
    select * from {{ ref('release_pins') }}
),

-- Births, fireworks, heat, storms, influenza: the code says when.
calendar_bound as (
    select
        ed_visits.stay_key,
        'calendar' as reason_code
    from diagnoses
    inner join ed_visits
        on diagnoses.encounter_key = ed_visits.ed_visit_key
    inner join pins
        on {{ starts_with('diagnoses.diagnosis_code', 'pins.code_prefix') }}
),

days as (
    select
        arrived_on,
        count(*) as stays_count
    from stays
    group by arrived_on
),

usual as (
    select avg(stays_count) as stays_count from days
),

-- A disaster, an outbreak: the day itself stands out.
peaks as (
    select
        stays.stay_key,
        'peak' as reason_code
    from stays
    inner join days
        on stays.arrived_on = days.arrived_on
    cross join usual
    where days.stays_count > 2 * usual.stays_count
),

-- Deaths are announced.
deaths as (
    select
        stay_key,
        'death' as reason_code
    from stays
    where disposition_code = 'died'
),

all_reasons as (
    select * from calendar_bound
    union all
    select * from peaks
    union all
    select * from deaths
),

final as (
    select
        stay_key,
        min(reason_code) as reason_code
    from all_reasons
    group by stay_key
)

select * from final
