-- One row per hospital and step from registrations to the numerator of the headline measure.
--
-- Steps marked is_exclusion say how many leave; the others how many remain.
with visits as (
    select * from {{ ref('fct_ed_visits') }}
),

returns as (
    select * from {{ ref('fct_ed_returns') }}
),

measured_returns as (
    select measured_returns.*
    from {{ ref('fct_ed_measured_returns') }} as measured_returns
    inner join {{ ref('ed_return_measures') }} as measures
        on measured_returns.measure_code = measures.measure_code
    where measures.is_headline and measured_returns.pairing_code = 'after_discharge_home'
),

hospitals as (
    select * from {{ ref('dim_hospitals') }}
),

steps as (
    select * from {{ ref('ed_return_steps') }}
),

events as (
    select
        hospital_key,
        'registrations' as step_code
    from visits
    union all
    select
        hospital_key,
        'visits' as step_code
    from visits
    where not is_duplicate_registration
    union all
    select
        hospital_key,
        coalesce(index_exclusion_reason, 'index_visits') as step_code
    from visits
    union all
    select
        hospital_key,
        coalesce(exclusion_reason, 'followed_index_visits') as step_code
    from returns
    union all
    select
        hospital_key,
        'returns_within_window' as step_code
    from measured_returns
    where is_return_within_window
    union all
    select
        hospital_key,
        'numerator' as step_code
    from measured_returns
    where is_counted
),

counts as (
    select
        hospital_key,
        step_code,
        count(*) as registrations_count
    from events
    group by hospital_key, step_code
),

final as (
    select
        hospitals.hospital_key,
        steps.step_code,
        steps.step_name,
        cast(steps.step_number as int) as step_number,
        coalesce(counts.registrations_count, 0) as registrations_count,
        steps.is_exclusion
    from hospitals
    cross join steps
    left join counts
        on
            hospitals.hospital_key = counts.hospital_key
            and steps.step_code = counts.step_code
)

select * from final
