-- One row per leg, with the stay it belongs to: a chain of transfers from hospital to hospital.
with legs as (
    select * from {{ ref('int_ed_legs__follow_up') }}
),

rules as (
    select max(rule_value) * 3600000000 as transfer_window_us
    from {{ ref('ed_return_rules') }}
    where rule_code = 'transfer_window_hours'
),

preceded as (
    select
        *,
        lag(hospital_key) over (
            partition by person_key, lone_key
            order by arrived_at asc nulls last, leg_key asc
        ) as previous_hospital_key,
        lag(is_transfer) over (
            partition by person_key, lone_key
            order by arrived_at asc nulls last, leg_key asc
        ) as is_previous_transfer,
        lag(departed_at) over (
            partition by person_key, lone_key
            order by arrived_at asc nulls last, leg_key asc
        ) as previous_departed_at
    from legs
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
        *,
        {{ last_known("case when is_first_leg then leg_key end") }} over (
            partition by person_key, lone_key
            order by arrived_at asc nulls last, leg_key asc
            rows between unbounded preceding and current row
        ) as stay_key,
        row_number() over (
            partition by person_key, lone_key
            order by arrived_at asc nulls last, leg_key asc
        ) as leg_number,
        coalesce(
            lead(is_first_leg) over (
                partition by person_key, lone_key
                order by arrived_at asc nulls last, leg_key asc
            ),
            true
        ) as is_last_leg
    from judged
),

final as (
    select
        leg_key,
        stay_key,
        person_key,
        hospital_key,
        last_visit_key,
        complaint_code,
        disposition_code,
        main_diagnosis_code,
        exclusion_code,
        cast(leg_number as int) as leg_number,
        age_years,
        follow_up_seconds,
        is_last_leg,
        is_planned,
        is_departure_known,
        can_be_index,
        can_be_return,
        is_admission,
        arrived_month_on,
        arrived_at,
        departed_at
    from placed
)

select * from final
