-- One row per ED stay that may be released, in bands: what each step of generalisation may show.
-- sqlfluff:indentation:template_blocks_indent:false
with stays as (
    select * from {{ ref('int_release__stays') }}
),

diagnoses as (
    select * from {{ ref('int_release__diagnoses') }}
),

codes as (
    select
        stay_key,
        {{ string_agg_ordered(
            "case when is_main then '*' else '' end || fine_code", "+", "fine_code, is_main"
        ) }} as every_codes,
        max(case when is_main then fine_code end) as ccsr_codes,
        max(case when is_main then chapter_code end) as chapter_codes
    from diagnoses
    group by stay_key
),

final as (
    select
        stays.stay_key,
        stays.person_key,
        coalesce(stays.peer_group_code, 'unknown') as peer_group_code,
        coalesce(stays.acuity_code, 'unknown') as acuity_code,
        case
            when stays.arrival_mode_code in ('ambulance', 'helicopter', 'police') then 'brought'
            when stays.arrival_mode_code is null then 'unknown'
            else 'walk_in_or_other'
        end as arrival_mode_code,
        {{ outcome_group('stays.disposition_code') }} as outcome_code,
        case
            when stays.stay_number > 1 then coalesce({{ interval_band(
                day_diff('stays.previous_arrived_on', 'stays.arrived_on')
            ) }}, 'unknown')
        end as interval_band,
        {{ length_of_stay_band(completed_minutes('stays.arrived_at', 'stays.left_at')) }}
            as length_of_stay_band,
        coalesce(codes.every_codes, '') as every_codes,
        coalesce(codes.ccsr_codes, '') as ccsr_codes,
        coalesce(codes.chapter_codes, '') as chapter_codes,
        '' as none_codes,
        stays.stay_number,
        {% if release_setting('shift_days') > 0 -%}
        stays.arrived_on
        {%- else -%}
        cast(null as date) as arrived_on
        {%- endif %}
    from stays
    left join codes
        on stays.stay_key = codes.stay_key
)

select * from final
