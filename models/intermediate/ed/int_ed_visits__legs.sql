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

-- Most legs are one registration.
joined_legs as (
    select distinct leg_key
    from placed
    where ed_visit_key <> leg_key
),

ranked as (
    select
        placed.ed_visit_key,
        -- An open registration without a departure leaves last of all.
        row_number() over (
            partition by placed.leg_key
            order by
                case
                    when placed.disposition_code is null and not placed.is_departure_known then 0
                    else 1
                end asc,
                placed.effective_departed_at desc nulls last,
                placed.arrived_at desc nulls last,
                placed.ed_visit_key desc
        ) as leaving_rank
    from placed
    inner join joined_legs on placed.leg_key = joined_legs.leg_key
),

final as (
    select
        placed.ed_visit_key,
        placed.leg_key,
        placed.person_key,
        placed.hospital_key,
        placed.lone_key,
        placed.complaint_code,
        placed.disposition_code,
        placed.main_diagnosis_code,
        coalesce(cast(ranked.leaving_rank as int), 1) as leaving_rank,
        ranked.ed_visit_key is not null as is_joined,
        placed.is_planned,
        placed.is_departure_known,
        placed.is_departure_imputed,
        placed.arrived_on,
        placed.arrived_at,
        placed.effective_departed_at
    from placed
    left join ranked on placed.ed_visit_key = ranked.ed_visit_key
)

select * from final
