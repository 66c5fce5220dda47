-- One row per step from registrations to the numerator of the headline measure, whole network.
--
-- Steps that remain are hidden where small or within 1 to 10 of an earlier one. Between two shown
-- ones, the exclusions are shown all or none: the last hidden one would be what is missing.
{{ config(alias='rpt_ed_returns_attrition') }}
with steps as (
    select
        step_code,
        step_name,
        step_number,
        is_exclusion,
        cast(sum(registrations_count) as bigint) as registrations_count
    from {{ ref('rpt_ed_returns_attrition') }}
    group by step_code, step_name, step_number, is_exclusion
),

hidden_cells as (
    select * from {{ ref('int_ed_return_cells__unexplained') }}
),

near_steps as (
    select distinct later.step_number
    from steps as later
    inner join steps as earlier on later.step_number > earlier.step_number
    where
        not later.is_exclusion
        and not earlier.is_exclusion
        and {{ is_small_count('abs(earlier.registrations_count - later.registrations_count)') }}
),

flagged as (
    select
        steps.*,
        near_steps.step_number is not null
        or {{ is_small_count('steps.registrations_count') }}
        or (steps.step_code = 'numerator' and not hidden_cells.is_numerator_total_safe)
        or (
            steps.step_code in ('index_visits', 'followed_index_visits')
            and not hidden_cells.is_visits_total_safe
        ) as is_hidden_by_itself
    from steps
    cross join hidden_cells
    left join near_steps on steps.step_number = near_steps.step_number
),

blocks as (
    select
        *,
        sum(case when not is_exclusion and not is_hidden_by_itself then 1 else 0 end) over (
            order by step_number nulls last
            rows between unbounded preceding and current row
        ) as block_number
    from flagged
),

hidden_blocks as (
    select distinct block_number from blocks
    where is_hidden_by_itself
),

protected as (
    select
        blocks.*,
        blocks.is_hidden_by_itself
        or (blocks.is_exclusion and hidden_blocks.block_number is not null) as is_suppressed
    from blocks
    left join hidden_blocks on blocks.block_number = hidden_blocks.block_number
),

final as (
    select
        step_code,
        step_name,
        step_number,
        {{ suppress('registrations_count', 'is_suppressed') }} as registrations_count,
        is_exclusion,
        is_suppressed
    from protected
)

select * from final
