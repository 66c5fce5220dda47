-- One row per ED visit, every leg of a transfer counted, with what its companion measures are made
-- of: double registrations joined, clocks read at the hospital.
--
-- The first triage and the first physician of a leg are its own; acuity and arrival mode are those
-- of the registration that the leg began with. Minutes are whole ones, and null where an end is not
-- known or lies before its beginning: the seconds back to the beginning, a begun one whole, show an
-- end that is early by less than a second.
--
-- The attendance is the person's within 365 days at this hospital: what others know of the person
-- is not shown here. In the first 365 days of a hospital's data it would be too low.
with registrations as (
    select * from {{ ref('fct_ed_visits') }}
),

legs as (
    select * from {{ ref('int_ed_legs__stays') }}
),

hospitals as (
    select * from {{ ref('dim_hospitals') }}
),

first_times as (
    select
        leg_key,
        min(triaged_at) as triaged_at,
        min(seen_at) as seen_at,
        max(disposition_at) as disposition_at
    from registrations
    group by leg_key
),

joined as (
    select
        legs.leg_key,
        legs.hospital_key,
        legs.person_key,
        registrations.acuity_code,
        registrations.arrival_mode_code,
        legs.disposition_code,
        legs.is_admission,
        legs.arrived_month_on as month_on,
        {{ to_local('legs.arrived_at', 'hospitals.time_zone') }} as arrived_local,
        legs.arrived_at,
        first_times.triaged_at,
        first_times.seen_at,
        first_times.disposition_at,
        case when legs.is_departure_known then legs.departed_at end as departed_at,
        {{ whole_quotient(epoch_us('legs.arrived_at'), 1000000) }} as arrived_second
    from legs
    -- A leg bears the key of the registration that it began with.
    inner join registrations on legs.leg_key = registrations.ed_visit_key
    inner join hospitals on legs.hospital_key = hospitals.hospital_key
    inner join first_times on legs.leg_key = first_times.leg_key
    where legs.arrived_month_on is not null
),

timed as (
    select
        *,
        {{ elapsed_seconds('departed_at', 'arrived_at') }} as stay_seconds_early,
        {{ completed_minutes('arrived_at', 'departed_at') }} as stay_minutes,
        {{ elapsed_seconds('triaged_at', 'arrived_at') }} as triage_seconds_early,
        {{ completed_minutes('arrived_at', 'triaged_at') }} as triage_minutes,
        {{ elapsed_seconds('seen_at', 'triaged_at') }} as physician_seconds_early,
        {{ completed_minutes('triaged_at', 'seen_at') }} as physician_minutes,
        {{ elapsed_seconds('departed_at', 'disposition_at') }} as boarding_seconds_early,
        {{ completed_minutes('disposition_at', 'departed_at') }} as boarded_minutes,
        case
            when person_key is not null
                then count(*) over (
                    partition by hospital_key, person_key
                    order by arrived_second nulls last
                    -- A visit exactly 365 days before is not within them.
                    range between 31535999 preceding and current row
                )
        end as attendance_number,
        arrived_second - min(arrived_second) over (partition by hospital_key) >= 31536000
            as is_look_back_known
    from joined
),

final as (
    select
        leg_key,
        hospital_key,
        acuity_code,
        arrival_mode_code,
        disposition_code,
        {{ attendance_band('attendance_number', 'is_look_back_known') }} as attendance_code,
        {{ hour_of('arrived_local') }} as arrived_hour,
        cast(
            case when stay_seconds_early <= 0 then stay_minutes end as int
        ) as length_of_stay_minutes,
        cast(
            case when triage_seconds_early <= 0 then triage_minutes end as int
        ) as arrival_to_triage_minutes,
        cast(
            case when physician_seconds_early <= 0 then physician_minutes end as int
        ) as triage_to_physician_minutes,
        cast(
            case when boarding_seconds_early <= 0 then boarded_minutes end as int
        ) as decision_to_departure_minutes,
        is_admission,
        month_on
    from timed
)

select * from final
