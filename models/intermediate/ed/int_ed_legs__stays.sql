-- One row per leg, with the stay it belongs to: a chain of transfers from hospital to hospital.
with legs as (
    select * from {{ ref('int_ed_legs__follow_up') }}
),

rules as (
    select max(rule_value) * 3600000000 as transfer_window_us
    from {{ ref('ed_return_rules') }}
    where rule_code = 'transfer_window_hours'
),

-- Whoever was never transferred has stays of one leg: few persons' legs are put in order.
transferred_persons as (
    select distinct person_key
    from legs
    where is_transfer and lone_key is null
),

preceded as (
    select
        legs.leg_key,
        legs.person_key,
        legs.hospital_key,
        legs.is_planned,
        legs.arrived_at,
        lag(legs.hospital_key) over (
            partition by legs.person_key
            order by legs.arrived_at asc nulls last, legs.leg_key asc
        ) as previous_hospital_key,
        lag(legs.is_transfer) over (
            partition by legs.person_key
            order by legs.arrived_at asc nulls last, legs.leg_key asc
        ) as is_previous_transfer,
        lag(legs.departed_at) over (
            partition by legs.person_key
            order by legs.arrived_at asc nulls last, legs.leg_key asc
        ) as previous_departed_at
    from legs
    inner join transferred_persons on legs.person_key = transferred_persons.person_key
    where legs.lone_key is null
),

judged as (
    select
        preceded.*,
        not coalesce(
            preceded.is_previous_transfer
            and preceded.hospital_key <> preceded.previous_hospital_key
            and {{ epoch_us("preceded.arrived_at") }}
            - {{ epoch_us("preceded.previous_departed_at") }} <= rules.transfer_window_us,
            false
        ) as is_first_leg
    from preceded
    cross join rules
),

placed as (
    select
        leg_key,
        {{ last_known("case when is_first_leg then leg_key end") }} over (
            partition by person_key
            order by arrived_at asc nulls last, leg_key asc
            rows between unbounded preceding and current row
        ) as stay_key,
        row_number() over (
            partition by person_key
            order by arrived_at asc nulls last, leg_key asc
        ) as leg_number,
        coalesce(
            lead(is_first_leg) over (
                partition by person_key
                order by arrived_at asc nulls last, leg_key asc
            ),
            true
        ) as is_last_leg,
        {{ last_known("case when is_first_leg then is_planned end") }} over (
            partition by person_key
            order by arrived_at asc nulls last, leg_key asc
            rows between unbounded preceding and current row
        ) as is_stay_planned
    from judged
),

final as (
    select
        legs.leg_key,
        coalesce(placed.stay_key, legs.leg_key) as stay_key,
        legs.person_key,
        legs.hospital_key,
        legs.last_visit_key,
        legs.complaint_code,
        legs.disposition_code,
        legs.main_diagnosis_code,
        legs.exclusion_code,
        coalesce(cast(placed.leg_number as int), 1) as leg_number,
        legs.age_years,
        legs.follow_up_seconds,
        coalesce(placed.is_last_leg, true) as is_last_leg,
        legs.is_planned,
        coalesce(placed.is_stay_planned, legs.is_planned) as is_stay_planned,
        legs.is_departure_known,
        legs.can_be_index,
        legs.can_be_return,
        legs.is_admission,
        legs.arrived_month_on,
        legs.arrived_at,
        legs.departed_at
    from legs
    left join placed on legs.leg_key = placed.leg_key
)

select * from final
