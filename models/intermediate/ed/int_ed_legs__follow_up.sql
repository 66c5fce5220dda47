-- One row per leg: for how long after its departure the data are complete; null means for ever,
-- because the person died.
with legs as (
    select * from {{ ref('int_ed_legs__outcomes') }}
),

persons as (
    select * from {{ ref('int_persons__attributes') }}
),

completeness as (
    select * from {{ ref('int_snapshots__completeness') }}
),

judged as (
    select
        legs.leg_key,
        legs.arrived_month_on,
        legs.departed_at,
        completeness.data_through_at,
        legs.is_death
        or coalesce(
            cast({{ add_days("persons.deceased_on", 1) }} as timestamp)
            <= completeness.data_through_at,
            false
        ) as is_dead
    from legs
    cross join completeness
    left join persons on legs.person_key = persons.person_key
),

final as (
    select
        leg_key,
        -- Without a known end of the data nothing has been followed for any time.
        case
            when not is_dead
                then coalesce({{ completed_seconds("departed_at", "data_through_at") }}, 0)
        end as follow_up_seconds,
        arrived_month_on
    from judged
)

select * from final
