-- One row per hospital and month: the headline measure, written at one go from its definition.
with persons as (
    select registration_key, person_key from person_map where person_key is not null
),
deaths as (
    select distinct on (persons.person_key) persons.person_key, patients.deceased_on
    from patients
    inner join persons on patients.patient_id = persons.registration_key
    where patients.deleted_at is null and patients.deceased_on is not null
    order by persons.person_key, patients.updated_at desc, patients.patient_id desc
),
visits as (
    select
        visit_id, hospital_id, person_key, disposition_code, arrived_at,
        coalesce(is_planned, false) as is_planned,
        coalesce(departed_at, disposition_at) is not null as is_known,
        greatest(coalesce(departed_at, disposition_at, arrived_at), arrived_at) as left_at,
        case when person_key is null or arrived_at is null then visit_id else person_key end
            as subject
    from ed_visits
    left join persons on patient_id = registration_key
    where deleted_at is null
),
occupied as (
    select *, max(left_at) over (
        partition by subject, hospital_id order by arrived_at nulls last, visit_id
        rows between unbounded preceding and 1 preceding
    ) as busy_until_at
    from visits
),
numbered as (
    select *,
        coalesce(arrived_at > busy_until_at, true) as is_first,
        sum(case when arrived_at <= busy_until_at then 0 else 1 end) over (
            partition by subject, hospital_id order by arrived_at nulls last, visit_id
            rows between unbounded preceding and current row
        ) as leg
    from occupied
),
ranked as (
    select *, row_number() over (
        partition by subject, hospital_id, leg
        order by
            case when disposition_code is null and not is_known then 0 else 1 end,
            left_at desc nulls last, arrived_at desc nulls last, visit_id desc
    ) = 1 as is_last
    from numbered
),
legs as (
    select
        subject, hospital_id, leg,
        min(person_key) as person_key,
        min(case when is_first then visit_id end) as leg_id,
        min(case when is_last then visit_id end) as last_id,
        min(case when is_last then disposition_code end) as disposition_code,
        bool_or(is_first and is_planned) as is_planned,
        bool_or(is_last and is_known) as is_known,
        min(arrived_at) as arrived_at,
        max(left_at) as left_at
    from ranked
    group by subject, hospital_id, leg
),
followed as (
    select legs.*,
        cast(date_trunc('month', legs.arrived_at at time zone hospitals.time_zone) as date)
            as month_on,
        coalesce(
            legs.left_at + interval '72 hours' <= through.moment
            or legs.disposition_code = 'died'
            or cast(deaths.deceased_on + interval '1 day' as timestamp) at time zone 'UTC'
            <= through.moment,
            false
        ) as is_followed,
        coalesce(
            lag(disposition_code) over chain = 'transferred'
            and lag(legs.hospital_id) over chain <> legs.hospital_id
            and legs.arrived_at <= lag(left_at) over chain + interval '24 hours',
            false
        ) as goes_on
    from legs
    cross join (select min(data_through_at) as moment from feeds) as through
    left join hospitals on legs.hospital_id = hospitals.hospital_id
    left join deaths on legs.person_key = deaths.person_key
    window chain as (partition by subject order by legs.arrived_at nulls last, leg_id)
),
chained as (
    select *, sum(case when goes_on then 0 else 1 end) over (
        partition by subject order by arrived_at nulls last, leg_id
        rows between unbounded preceding and current row
    ) as stay
    from followed
),
placed as (
    select *, row_number() over (
        partition by subject, stay order by arrived_at desc nulls last, leg_id desc
    ) = 1 as is_final
    from chained
),
stays as (
    select
        subject, stay,
        min(person_key) as person_key,
        bool_or(not goes_on and is_planned) as is_planned,
        bool_or(disposition_code = 'admitted') as is_admitted,
        bool_or(is_final and is_known) as is_known,
        bool_or(is_final and is_followed) as is_followed,
        min(case when is_final then disposition_code end) as disposition_code,
        min(case when is_final then hospital_id end) as hospital_id,
        min(case when is_final then month_on end) as month_on,
        min(case when is_final then last_id end) as last_id,
        min(case when not goes_on then leg_id end) as stay_id,
        min(arrived_at) as started_at,
        min(case when is_final then arrived_at end) as arrived_at,
        min(case when is_final then left_at end) as left_at
    from placed
    group by subject, stay
),
events as (
    select *, 0 as is_departure, started_at as moment from stays
    where person_key is not null and started_at is not null and not is_planned
        and coalesce(disposition_code, '') <> 'lwbs'
    union all
    select *, 1 as is_departure, left_at as moment from stays
    where person_key is not null and started_at is not null and not is_planned
        and disposition_code = 'home' and is_known
),
grouped as (
    select *, sum(1 - is_departure) over (
        partition by person_key order by moment desc, is_departure desc, stay_id desc
        rows between unbounded preceding and current row
    ) as arrivals
    from events
),
paired as (
    select *,
        max(case when is_departure = 0 then moment end) over pair as return_at,
        bool_or(is_departure = 0 and is_admitted) over pair as is_return_admitted,
        bool_or(is_departure = 0 and not coalesce(is_admitted, false) and disposition_code is null)
            over pair as is_return_open,
        row_number() over (
            partition by person_key, arrivals, is_departure
            order by moment desc, arrived_at desc, last_id desc
        ) = 1 as is_latest
    from grouped
    window pair as (partition by person_key, arrivals)
),
judged as (
    select hospital_id, month_on, is_return_admitted, is_return_open,
        coalesce(is_latest and return_at - left_at <= interval '72 hours', false) as is_within
    from paired
    where is_departure = 1 and is_followed
),
returns as (
    select
        hospital_id, month_on,
        count(case when is_within and is_return_admitted then 1 end) as numerator_count,
        count(case when not is_within or not is_return_open then 1 end) as index_visits_count
    from judged
    group by hospital_id, month_on
),
everything as (
    select hospital_id, month_on, count(case when is_followed then 1 end) as all_visits_count
    from followed
    where month_on is not null
    group by hospital_id, month_on
)
select
    everything.hospital_id,
    everything.month_on,
    coalesce(returns.numerator_count, 0) as numerator_count,
    coalesce(returns.index_visits_count, 0) as index_visits_count,
    everything.all_visits_count
from everything
left join returns
    on everything.hospital_id = returns.hospital_id and everything.month_on = returns.month_on
order by 1, 2
