-- One row per released ED stay: the first few of a released person within one calendar year.
with patients as (
    select * from {{ ref('release_patients') }}
),

stays as (
    select * from {{ ref('int_release__stays') }}
),

final as (
    select
        stays.stay_key as visit_key,
        stays.person_key,
        stays.peer_group_code,
        stays.acuity_code,
        stays.arrival_mode_code,
        stays.disposition_code,
        {{ interval_band(day_diff('stays.previous_arrived_on', 'stays.arrived_on')) }}
            as interval_band,
        {{ length_of_stay_band(completed_minutes('stays.arrived_at', 'stays.left_at')) }}
            as length_of_stay_band,
        stays.stay_number as visit_number,
        stays.visit_year
    from stays
    inner join patients
        on stays.person_key = patients.person_key
)

select * from final
