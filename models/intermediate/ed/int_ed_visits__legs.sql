-- One row per ED registration, with the leg it belongs to: registrations of one person at one
-- hospital that touch or overlap are one leg.
with departures as (
    select * from {{ ref('int_ed_visits__departures') }}
),

occupied as (
    select
        *,
        max(effective_departed_at) over (
            partition by person_key, hospital_key, lone_key
            order by arrived_at asc nulls last, ed_visit_key asc
            rows between unbounded preceding and 1 preceding
        ) as busy_until_at
    from departures
),

placed as (
    select
        *,
        {{ last_known("case when arrived_at <= busy_until_at then null else ed_visit_key end") }}
            over (
                partition by person_key, hospital_key, lone_key
                order by arrived_at asc nulls last, ed_visit_key asc
                rows between unbounded preceding and current row
            ) as leg_key
    from occupied
),

ranked as (
    select
        *,
        -- An open registration without a departure leaves last of all.
        row_number() over (
            partition by leg_key
            order by
                case when disposition_code is null and not is_departure_known then 0 else 1 end asc,
                effective_departed_at desc nulls last,
                arrived_at desc nulls last,
                ed_visit_key desc
        ) as leaving_rank
    from placed
),

final as (
    select
        ed_visit_key,
        leg_key,
        person_key,
        hospital_key,
        lone_key,
        complaint_code,
        disposition_code,
        main_diagnosis_code,
        cast(leaving_rank as int) as leaving_rank,
        is_planned,
        is_departure_known,
        is_departure_imputed,
        arrived_on,
        arrived_at,
        effective_departed_at
    from ranked
)

select * from final
