-- One row per measure and index visit in the measure's index denominator: with complete follow-up
-- and a known outcome.
--
-- A measure is a predicate over index visits and their returns: a new row of ed_return_measures is
-- a new measure. A view: at full size it has millions of rows that only counts are made of.
{{ config(materialized='view') }}

with returns as (
    select * from {{ ref('fct_ed_returns') }}
),

measures as (
    select
        *,
        window_hours * 3600 as window_seconds
    from {{ ref('ed_return_measures') }}
),

-- One row per group and code, whatever the number of its prefixes that the code begins with.
diagnosis_groups as (
    select
        group_code,
        diagnosis_code,
        bool_or(maximum_age_years is null) as is_any_age,
        max(maximum_age_years) as maximum_age_years
    from {{ ref('dim_diagnosis_groups') }}
    group by group_code, diagnosis_code
),

final as (
    select
        measures.measure_code,
        returns.index_visit_key,
        returns.return_visit_key,
        returns.hospital_key,
        coalesce(
            returns.elapsed_seconds <= measures.window_seconds, false
        ) as is_return_within_window,
        coalesce(
            returns.elapsed_seconds <= measures.window_seconds
            and (returns.is_return_admitted or not measures.requires_admission)
            and (
                measures.return_outcome_code is null
                or returns.return_outcome_code = measures.return_outcome_code
            )
            and (
                returns.return_hospital_key = returns.hospital_key
                or not measures.requires_same_hospital
            )
            and (
                measures.minimum_age_years is null
                or returns.return_age_years >= measures.minimum_age_years
            )
            and (
                measures.maximum_age_years is null
                or returns.return_age_years <= measures.maximum_age_years
            )
            and (
                measures.return_diagnosis_group_code is null
                or return_groups.is_any_age
                or returns.return_age_years <= return_groups.maximum_age_years
            ),
            false
        ) as is_counted,
        returns.index_month_on
    from returns
    cross join measures
    left join diagnosis_groups as return_groups
        on
            measures.return_diagnosis_group_code = return_groups.group_code
            and returns.return_diagnosis_code = return_groups.diagnosis_code
    left join diagnosis_groups as index_groups
        on
            measures.index_diagnosis_group_code = index_groups.group_code
            and returns.index_diagnosis_code = index_groups.diagnosis_code
    where
        coalesce(returns.follow_up_seconds >= measures.window_seconds, true)
        and not coalesce(
            returns.return_outcome_code = 'unknown'
            and returns.elapsed_seconds <= measures.window_seconds,
            false
        )
        and (
            measures.index_diagnosis_group_code is null
            or coalesce(
                index_groups.is_any_age
                or returns.index_age_years <= index_groups.maximum_age_years,
                false
            )
        )
)

select * from final
