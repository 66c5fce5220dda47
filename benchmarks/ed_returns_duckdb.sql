-- One row per hospital, month and measure: what the mart answers, written at one go from its
-- definition.
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
        visit_id, ed_visits.hospital_id, person_key, disposition_code, arrived_at,
        cast(arrived_at at time zone hospitals.time_zone as date) as arrived_on,
        coalesce(is_planned, false) as is_planned,
        coalesce(departed_at, disposition_at) is not null as is_known,
        greatest(coalesce(departed_at, disposition_at, arrived_at), arrived_at) as left_at,
        case when person_key is null or arrived_at is null then visit_id else person_key end
            as subject
    from ed_visits
    left join persons on patient_id = registration_key
    left join hospitals on ed_visits.hospital_id = hospitals.hospital_id
    where deleted_at is null
),
occupied as (
    select *, max(left_at) over (
        partition by subject, hospital_id order by arrived_at nulls last, visit_id
        rows between unbounded preceding and 1 preceding
    ) as busy_until_at
    from visits
),
joined as (
    select *,
        last_value(
            case when arrived_at <= busy_until_at then null else visit_id end ignore nulls
        ) over (
            partition by subject, hospital_id order by arrived_at nulls last, visit_id
            rows between unbounded preceding and current row
        ) as leg_id
    from occupied
),
ranked as (
    select *, row_number() over (
        partition by leg_id
        order by
            case when disposition_code is null and not is_known then 0 else 1 end,
            left_at desc nulls last, arrived_at desc nulls last, visit_id desc
    ) as rank
    from joined
),
legs as (
    select
        leg_id,
        min(subject) as subject,
        min(hospital_id) as hospital_id,
        min(person_key) as person_key,
        min(case when rank = 1 then visit_id end) as last_id,
        min(case when rank = 1 then disposition_code end) as disposition_code,
        min(case when visit_id = leg_id then arrived_on end) as arrived_on,
        bool_or(visit_id = leg_id and is_planned) as is_planned,
        bool_or(rank = 1 and is_known) as is_known,
        min(arrived_at) as arrived_at,
        max(left_at) as left_at
    from ranked
    group by leg_id
),
followed as (
    select legs.*,
        cast(date_trunc('month', arrived_on) as date) as month_on,
        case
            when coalesce(
                legs.disposition_code = 'died'
                or cast(deaths.deceased_on + interval '1 day' as timestamp) at time zone 'UTC'
                <= through.moment,
                false
            ) then interval '100 years'
            else coalesce(through.moment - legs.left_at, interval '0 hours')
        end as follow_up,
        coalesce(
            lag(disposition_code) over chain = 'transferred'
            and lag(hospital_id) over chain <> hospital_id
            and legs.arrived_at <= lag(left_at) over chain + interval '24 hours',
            false
        ) as goes_on
    from legs
    cross join (select min(data_through_at) as moment from feeds) as through
    left join deaths on legs.person_key = deaths.person_key
    window chain as (partition by subject order by legs.arrived_at nulls last, leg_id)
),
chained as (
    select *,
        last_value(case when goes_on then null else leg_id end ignore nulls) over (
            chain rows between unbounded preceding and current row
        ) as stay_id,
        not coalesce(lead(goes_on) over chain, false) as is_final
    from followed
    window chain as (partition by subject order by arrived_at nulls last, leg_id)
),
stays as (
    select
        stay_id,
        min(person_key) as person_key,
        bool_or(not goes_on and is_planned) as is_planned,
        bool_or(disposition_code = 'admitted') as is_admitted,
        bool_or(is_final and is_known) as is_known,
        min(case when is_final then follow_up end) as follow_up,
        min(case when is_final then disposition_code end) as disposition_code,
        min(case when is_final then hospital_id end) as hospital_id,
        min(case when is_final then month_on end) as month_on,
        min(case when is_final then last_id end) as last_id,
        min(arrived_at) as started_at,
        min(arrived_on) as started_on,
        min(case when is_final then arrived_at end) as arrived_at,
        min(case when is_final then left_at end) as left_at
    from chained
    group by stay_id
),
events as (
    select person_key, stay_id, stay_id as key, 0 as is_departure, started_at as moment,
        started_at as arrived_at
    from stays
    where person_key is not null and started_at is not null and not is_planned
        and coalesce(disposition_code, '') <> 'lwbs'
    union all
    select person_key, stay_id, last_id, 1, left_at, arrived_at
    from stays
    where person_key is not null and started_at is not null and not is_planned
        and disposition_code = 'home' and is_known
),
next as (
    select stay_id, is_departure, lead(case when is_departure = 0 then stay_id end) over (
        partition by person_key order by moment, is_departure, arrived_at, key
    ) as return_id
    from events
),
paired as (
    select
        departed.hospital_id, departed.month_on, departed.follow_up,
        returned.stay_id, returned.person_key, returned.started_on,
        returned.started_at - departed.left_at as elapsed,
        returned.is_admitted,
        not coalesce(returned.is_admitted, false) and returned.disposition_code is null as is_open
    from next
    inner join stays as departed on next.stay_id = departed.stay_id
    left join stays as returned on next.return_id = returned.stay_id
    where next.is_departure = 1
),
-- Which returns may count as sentinel: few, so that only they are given a diagnosis and an age.
suspects as (
    select distinct stay_id, person_key, started_on from paired
    where is_admitted and elapsed <= interval '168 hours'
),
parts as (
    select suspects.stay_id, chained.leg_id, chained.arrived_at, ranked.visit_id, ranked.rank
    from suspects
    inner join chained on suspects.stay_id = chained.stay_id
    inner join ranked on chained.leg_id = ranked.leg_id
),
written as (
    select
        parts.stay_id, 0 as is_ed, encounters.admitted_at as first,
        encounters.encounter_id as second,
        null as third, null as fourth, null as fifth, inpatient_diagnoses.recorded_at,
        inpatient_diagnoses.diagnosis_id, inpatient_diagnoses.diagnosis_code
    from parts
    inner join inpatient_encounters as encounters on parts.visit_id = encounters.ed_visit_id
    inner join inpatient_diagnoses on encounters.encounter_id = inpatient_diagnoses.encounter_id
    where encounters.deleted_at is null and inpatient_diagnoses.deleted_at is null
        and sequence_number = 1 and diagnosis_code is not null
    union all
    select
        parts.stay_id, 1, null, null, parts.arrived_at, parts.leg_id, parts.rank, recorded_at,
        diagnosis_id, diagnosis_code
    from parts
    inner join ed_visit_diagnoses on parts.visit_id = ed_visit_diagnoses.visit_id
    where deleted_at is null and sequence_number = 1 and diagnosis_code is not null
),
diagnoses as (
    select distinct on (stay_id)
        stay_id, upper(replace(diagnosis_code, '.', '')) as code
    from written
    order by stay_id, is_ed, first, second, third desc, fourth desc, fifth, recorded_at desc,
        diagnosis_id desc
),
births as (
    select distinct on (described.person_key) described.person_key, described.birth_date
    from (
        select person_key, birth_date, updated_at, registration_key
        from patients inner join persons on patient_id = registration_key
        where deleted_at is null
        union all
        select person_key, birth_date, updated_at, registration_key
        from members inner join persons on member_id = registration_key
        where deleted_at is null
    ) as described
    inner join (select distinct person_key from suspects) as wanted
        on described.person_key = wanted.person_key
    order by described.person_key, updated_at desc nulls last, registration_key desc
),
groups as (
    select
        suspects.stay_id,
        left(code, 3) in ('I21', 'I22') as is_ami,
        starts_with(code, 'I60') as is_sah,
        left(code, 3) in ('A40', 'A41')
            and suspects.started_on < births.birth_date + interval '18 years'
            as is_sepsis
    from suspects
    left join diagnoses on suspects.stay_id = diagnoses.stay_id
    left join births on suspects.person_key = births.person_key
),
judged as (
    select
        hospital_id, month_on,
        follow_up >= interval '72 hours'
        and not (is_open and elapsed <= interval '72 hours') is true as is_index_72,
        follow_up >= interval '168 hours'
        and not (is_open and elapsed <= interval '168 hours') is true as is_index_168,
        elapsed <= interval '72 hours' as is_any,
        elapsed <= interval '72 hours' and is_admitted as is_headline,
        elapsed <= interval '168 hours' and is_admitted as is_week,
        is_ami, is_sah, is_sepsis
    from paired
    left join groups on paired.stay_id = groups.stay_id
),
measured as (
    unpivot (
        select
            hospital_id, month_on,
            [count_if(is_index_72 and is_headline), count_if(is_index_72)]
                as ed_return_72h_admitted,
            [count_if(is_index_72 and is_any), count_if(is_index_72)] as ed_return_72h_any,
            [count_if(is_index_168 and is_week and (is_ami or is_sah or is_sepsis)),
                count_if(is_index_168)] as ed_return_7d_sentinel,
            [count_if(is_index_168 and is_week and is_ami), count_if(is_index_168)]
                as ed_return_7d_ami,
            [count_if(is_index_168 and is_week and is_sah), count_if(is_index_168)]
                as ed_return_7d_sah,
            [count_if(is_index_168 and is_week and is_sepsis), count_if(is_index_168)]
                as ed_return_7d_paediatric_sepsis
        from judged
        group by hospital_id, month_on
    ) on columns(* exclude (hospital_id, month_on)) into name measure_code value counts
),
everything as (
    select hospital_id, month_on,
        count(case when follow_up >= interval '72 hours' then 1 end) as within_72,
        count(case when follow_up >= interval '168 hours' then 1 end) as within_168
    from followed
    where month_on is not null
    group by hospital_id, month_on
),
measures as (
    select unnest([
        'ed_return_72h_admitted', 'ed_return_72h_any', 'ed_return_7d_sentinel', 'ed_return_7d_ami',
        'ed_return_7d_sah', 'ed_return_7d_paediatric_sepsis'
    ]) as measure_code
)
select
    everything.hospital_id,
    everything.month_on,
    measures.measure_code,
    coalesce(counts[1], 0) as numerator_count,
    coalesce(counts[2], 0) as index_visits_count,
    case when measures.measure_code like '%72h%' then within_72 else within_168 end
        as all_visits_count
from everything
cross join measures
left join measured using (hospital_id, month_on, measure_code)
order by 1, 2, 3
