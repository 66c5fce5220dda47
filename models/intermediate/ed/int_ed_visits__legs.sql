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

numbered as (
    select
        *,
        sum(case when arrived_at <= busy_until_at then 0 else 1 end) over (
            partition by person_key, hospital_key, lone_key
            order by arrived_at asc nulls last, ed_visit_key asc
            rows between unbounded preceding and current row
        ) as leg_number
    from occupied
),

keyed as (
    select
        *,
        first_value(ed_visit_key) over (
            partition by person_key, hospital_key, lone_key, leg_number
            order by arrived_at asc nulls last, ed_visit_key asc
            rows between unbounded preceding and unbounded following
        ) as leg_key,
        -- An open registration without a departure leaves last of all.
        row_number() over (
            partition by person_key, hospital_key, lone_key, leg_number
            order by
                case when disposition_code is null and not is_departure_known then 0 else 1 end asc,
                effective_departed_at desc nulls last,
                arrived_at desc nulls last,
                ed_visit_key desc
        ) as leaving_rank
    from numbered
),

final as (
    select
        ed_visit_key,
        leg_key,
        person_key,
        hospital_key,
        lone_key,
        disposition_code,
        cast(leaving_rank as int) as leaving_rank,
        is_planned,
        is_departure_known,
        is_departure_imputed,
        arrived_at,
        effective_departed_at,
        arrived_month_on
    from keyed
)

select * from final
