-- One row per hospital, month and hour of the day that occurs: how many patients were in the ED at
-- the full hours, from the hospital's first arrival to its last departure.
--
-- In the ED from the arrival on, until before the departure. A visit without a known departure is
-- left out: nobody knows until when it was there. Counted at the full hours of UTC, which are
-- those of the hospital's clock where the two differ by whole hours; a clock half an hour off is
-- read at half past.
with visits as (
    select * from {{ ref('int_ed_legs__stays') }}
    where is_departure_known and departed_at > arrived_at
),

hospitals as (
    select * from {{ ref('dim_hospitals') }}
),

moves as (
    select
        hospital_key,
        {{ next_full_hour('arrived_at') }} as hour_number,
        1 as change_count
    from visits
    union all
    select
        hospital_key,
        {{ next_full_hour('departed_at') }} as hour_number,
        -1 as change_count
    from visits
),

changes as (
    select
        hospital_key,
        hour_number,
        sum(change_count) as change_count
    from moves
    group by hospital_key, hour_number
),

spans as (
    select
        hospital_key,
        min(hour_number) as first_number,
        max(hour_number) as last_number
    from changes
    group by hospital_key
),

marks as (
    {{ number_spine("spans", ["hospital_key"]) }}
),

present as (
    select
        marks.hospital_key,
        marks.number as hour_number,
        sum(coalesce(changes.change_count, 0)) over (
            partition by marks.hospital_key
            order by marks.number asc nulls last
            rows between unbounded preceding and current row
        ) as patients_count
    from marks
    left join changes
        on
            marks.hospital_key = changes.hospital_key
            and marks.number = changes.hour_number
),

read as (
    select
        present.hospital_key,
        present.patients_count,
        {{ to_local(instant_of_hour('present.hour_number'), 'hospitals.time_zone') }} as read_at
    from present
    inner join hospitals on present.hospital_key = hospitals.hospital_key
),

labelled as (
    select
        hospital_key,
        patients_count,
        {{ hour_of('read_at') }} as read_hour,
        {{ month_of('read_at') }} as month_on
    from read
),

final as (
    select
        hospital_key,
        read_hour,
        count(*) as readings_count,
        cast(sum(patients_count) as bigint) as patients_count,
        cast(max(patients_count) as bigint) as most_patients_count,
        month_on
    from labelled
    group by hospital_key, read_hour, month_on
)

select * from final
