-- Fails where the steps from registrations to index visits do not add up at a hospital: one left
-- without a reason, or left twice. Says nothing on whether a reason is the right one.
with steps as (
    select
        hospital_key,
        step_code,
        is_exclusion,
        registrations_count,
        -- Which of the four subtractions a step belongs to: up to the count it leads to.
        case
            when step_number <= 3 then 'visits'
            when step_number <= 17 then 'index_visits'
            else 'followed_index_visits'
        end as stage_code
    from {{ ref('rpt_ed_returns_attrition') }}
    where step_number <= 20
),

entrants as (
    select
        hospital_key,
        case step_code
            when 'registrations' then 'visits'
            when 'visits' then 'index_visits'
            else 'followed_index_visits'
        end as stage_code,
        registrations_count
    from steps
    where step_code in ('registrations', 'visits', 'index_visits')
),

leavers as (
    select
        hospital_key,
        stage_code,
        sum(registrations_count) as registrations_count
    from steps
    where is_exclusion or step_code = stage_code
    group by hospital_key, stage_code
),

final as (
    select
        entrants.hospital_key,
        entrants.stage_code,
        entrants.registrations_count as entered_count,
        leavers.registrations_count as explained_count
    from entrants
    left join leavers
        on
            entrants.hospital_key = leavers.hospital_key
            and entrants.stage_code = leavers.stage_code
    where entrants.registrations_count is distinct from leavers.registrations_count
)

select * from final
