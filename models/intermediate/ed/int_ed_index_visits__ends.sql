-- One row per index visit: on which day after the departure the waiting for a return ends, and how.
--
-- Day 1 is the first 24 hours, so that days 1 to 3 are the 72 hours of the headline measure. The
-- first end counts: a return, or death. A visit counts in a day only where the data reach to the
-- end of that day, whether or not an end is seen, and for the dead as for the living: else the last
-- days of the data would show ends and nobody who waits.
{{ config(materialized='view') }}

with returns as (
    select * from {{ ref('fct_ed_returns') }}
),

hospitals as (
    select * from {{ ref('dim_hospitals') }}
),

patients as (
    select * from {{ ref('dim_patients') }}
),

snapshots as (
    select * from {{ ref('dim_snapshots') }}
),

dated as (
    select
        returns.*,
        patients.deceased_on,
        -- Dates on the hospital's clock are dear, and only those of the dead are looked at.
        case
            when patients.deceased_on is not null
                then cast({{ to_local(
                    "returns.index_departed_at", "hospitals.time_zone"
                ) }} as date)
        end as departed_on,
        case
            when patients.deceased_on is not null
                then cast({{ to_local(
                    "returns.return_arrived_at", "hospitals.time_zone"
                ) }} as date)
        end as returned_on,
        coalesce({{ completed_seconds(
            "returns.index_departed_at", "snapshots.data_through_at"
        ) }}, 0) as seen_seconds
    from returns
    inner join hospitals on returns.hospital_key = hospitals.hospital_key
    left join patients on returns.person_key = patients.person_key
    cross join snapshots
),

-- Of a death only the date is known. Who returned on that date returned first; a date before the
-- departure is a mistake and ends nothing.
ended as (
    select
        index_visit_key,
        hospital_key,
        index_month_on,
        case
            when deceased_on >= departed_on and (returned_on is null or deceased_on < returned_on)
                then {{ day_diff("departed_on", "deceased_on") }} + 1
            else {{ whole_quotient("elapsed_seconds + 86399", 86400) }}
        end as end_day,
        case
            when deceased_on >= departed_on and (returned_on is null or deceased_on < returned_on)
                then 'died'
            when return_outcome_code in ('admitted', 'unknown') then return_outcome_code
            else 'other'
        end as end_code,
        greatest({{ whole_quotient("seen_seconds", 86400) }}, 0) as seen_days
    from dated
),

-- Who is still waiting when the data end is lost from the day that they do not reach the end of.
final as (
    select
        index_visit_key,
        hospital_key,
        {{ half_year_of("index_month_on") }} as period_on,
        case when end_day <= seen_days then end_code else 'lost' end as exit_code,
        least(coalesce(end_day, seen_days + 1), seen_days + 1) as exit_day
    from ended
)

select * from final
