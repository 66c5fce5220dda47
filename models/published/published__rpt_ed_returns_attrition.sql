-- One row per step from registrations to the numerator of the headline measure, whole network.
--
-- Counts above 10 are rounded up to tens: exact ones would give the small steps by subtraction, and
-- the registrations of one night by comparison with the day before. Hidden is what is small, or
-- leaves a small count when a hospital takes its own off.
{{ config(alias='rpt_ed_returns_attrition') }}
with hospital_steps as (
    select
        *,
        sum(registrations_count) over (partition by step_number) as network_count
    from {{ ref('rpt_ed_returns_attrition') }}
),

hidden_cells as (
    select * from {{ ref('int_ed_return_cells__unexplained') }}
),

steps as (
    select
        step_code,
        step_name,
        step_number,
        is_exclusion,
        cast(max(network_count) as bigint) as registrations_count,
        bool_or({{ is_small_count('network_count - registrations_count') }}) as is_others_small
    from hospital_steps
    group by step_code, step_name, step_number, is_exclusion
),

flagged as (
    select
        steps.*,
        steps.is_others_small
        or {{ is_small_count('steps.registrations_count') }}
        or (steps.step_code = 'numerator' and not hidden_cells.is_numerator_total_safe)
        or (
            steps.step_code in ('index_visits', 'followed_index_visits')
            and not hidden_cells.is_visits_total_safe
        ) as is_suppressed
    from steps
    cross join hidden_cells
),

final as (
    select
        step_code,
        step_name,
        step_number,
        case when not is_suppressed then {{ round_up_count('registrations_count') }} end
            as registrations_count,
        is_exclusion,
        is_suppressed
    from flagged
)

select * from final
