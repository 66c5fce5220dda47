-- One row per cohort, person and period of membership. Both days belong to the period.
{%- set definitions = cohort_definitions() %}
with candidates as (
    select * from {{ ref('int_cohorts__candidates') }}
),

cohorts as (
    {{ cohort_rows(definitions) }}
),

-- Membership of N days holds N calendar days; nobody is a member after the end of observation, but
-- for an entry that lies there itself. Two entries of one day are one period: as two rows they
-- would tie in the windows below.
periods as (
    select distinct
        candidates.cohort_code,
        candidates.person_key,
        candidates.entered_on as starts_on,
        case
            -- Dead before the contact began: an error of the source, kept as a single day.
            when candidates.observed_until_on < candidates.entered_on then candidates.entered_on
            when
                cohorts.exit_after_days is null
                or {{ day_diff('candidates.entered_on', 'candidates.observed_until_on') }}
                < cohorts.exit_after_days
                then candidates.observed_until_on
            else {{ add_days('candidates.entered_on', 'cohorts.exit_after_days - 1') }}
        end as ends_on,
        cohorts.collapse_gap_days
    from candidates
    inner join cohorts
        on candidates.cohort_code = cohorts.cohort_code
    where candidates.failed_rule_number is null
),

with_reach as (
    select
        cohort_code,
        person_key,
        starts_on,
        ends_on,
        collapse_gap_days,
        max(ends_on) over (
            partition by cohort_code, person_key
            order by starts_on asc nulls last, ends_on asc nulls last
            rows between unbounded preceding and 1 preceding
        ) as reach_on
    from periods
),

-- Periods become one where at most the allowed number of days lies uncovered between them.
numbered as (
    select
        cohort_code,
        person_key,
        starts_on,
        ends_on,
        sum(
            case
                when {{ day_diff('reach_on', 'starts_on') }} - 1 <= collapse_gap_days then 0
                else 1
            end
        ) over (
            partition by cohort_code, person_key
            order by starts_on asc nulls last, ends_on asc nulls last
            rows between unbounded preceding and current row
        ) as period_number
    from with_reach
),

final as (
    select
        cohort_code,
        person_key,
        min(starts_on) as starts_on,
        max(ends_on) as ends_on
    from numbered
    group by cohort_code, person_key, period_number
)

select * from final
