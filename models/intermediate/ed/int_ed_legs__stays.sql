-- One row per leg, with the stay it belongs to: a chain of transfers from hospital to hospital.
with legs as (
    select * from {{ ref('int_ed_legs__outcomes') }}
),

rules as (
    select max(rule_value) * 3600000000 as transfer_window_us
    from {{ ref('ed_return_rules') }}
    where rule_code = 'transfer_window_hours'
),

preceded as (
    select
        leg_key,
        person_key,
        hospital_key,
        lone_key,
        arrived_at,
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

numbered as (
    select
        preceded.leg_key,
        preceded.person_key,
        preceded.lone_key,
        preceded.arrived_at,
        sum(
            case
                when
                    preceded.is_previous_transfer
                    and preceded.hospital_key <> preceded.previous_hospital_key
                    and {{ epoch_us("preceded.arrived_at") }}
                    - {{ epoch_us("preceded.previous_departed_at") }} <= rules.transfer_window_us
                    then 0
                else 1
            end
        ) over (
            partition by preceded.person_key, preceded.lone_key
            order by preceded.arrived_at asc nulls last, preceded.leg_key asc
            rows between unbounded preceding and current row
        ) as stay_number
    from preceded
    cross join rules
),

final as (
    select
        leg_key,
        first_value(leg_key) over (
            partition by person_key, lone_key, stay_number
            order by arrived_at asc nulls last, leg_key asc
            rows between unbounded preceding and unbounded following
        ) as stay_key,
        row_number() over (
            partition by person_key, lone_key, stay_number
            order by arrived_at desc nulls last, leg_key desc
        ) = 1 as is_last_leg
    from numbered
)

select * from final
