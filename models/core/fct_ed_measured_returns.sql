-- One row per measure and index visit in the measure's index denominator: with complete follow-up
-- and a known outcome, where the measure asks for them.
--
-- A measure is a predicate over pairs, an index visit and what followed it: a new row of
-- ed_return_measures is a new measure. A view: at full size it has millions of rows that only
-- counts are made of.
{{ config(materialized='view') }}

with pairs as (
    select * from {{ ref('int_ed_index_visits__paired') }}
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
        pairs.pairing_code,
        pairs.index_visit_key,
        pairs.return_visit_key,
        pairs.hospital_key,
        coalesce(
            pairs.elapsed_seconds <= measures.window_seconds, false
        ) as is_return_within_window,
        coalesce(
            pairs.elapsed_seconds <= measures.window_seconds
            and (pairs.is_return_admitted or not measures.requires_admission)
            and (
                measures.return_outcome_code is null
                or pairs.return_outcome_code = measures.return_outcome_code
            )
            and (
                pairs.return_hospital_key = pairs.hospital_key
                or not measures.requires_same_hospital
            )
            and (
                measures.minimum_age_years is null
                or pairs.return_age_years >= measures.minimum_age_years
            )
            and (
                measures.maximum_age_years is null
                or pairs.return_age_years <= measures.maximum_age_years
            )
            and (
                measures.return_diagnosis_group_code is null
                or return_groups.is_any_age
                or pairs.return_age_years <= return_groups.maximum_age_years
            )
            and not coalesce(
                return_exclusions.is_any_age
                or pairs.return_age_years <= return_exclusions.maximum_age_years,
                false
            ),
            false
        ) as is_counted,
        pairs.index_month_on
    from pairs
    inner join measures on pairs.pairing_code = measures.pairing_code
    left join diagnosis_groups as return_groups
        on
            measures.return_diagnosis_group_code = return_groups.group_code
            and pairs.return_diagnosis_code = return_groups.diagnosis_code
    left join diagnosis_groups as index_groups
        on
            measures.index_diagnosis_group_code = index_groups.group_code
            and pairs.index_diagnosis_code = index_groups.diagnosis_code
    left join diagnosis_groups as return_exclusions
        on
            measures.return_exclusion_group_code = return_exclusions.group_code
            and pairs.return_diagnosis_code = return_exclusions.diagnosis_code
    left join diagnosis_groups as index_exclusions
        on
            measures.index_exclusion_group_code = index_exclusions.group_code
            and pairs.index_diagnosis_code = index_exclusions.diagnosis_code
    where
        (
            coalesce(pairs.follow_up_seconds >= measures.window_seconds, true)
            or not measures.requires_complete_follow_up
        )
        and (
            not coalesce(
                pairs.return_outcome_code = 'unknown'
                and pairs.elapsed_seconds <= measures.window_seconds,
                false
            )
            or not measures.requires_known_outcome
        )
        and not coalesce(
            index_exclusions.is_any_age
            or pairs.index_age_years <= index_exclusions.maximum_age_years,
            false
        )
        and (
            measures.index_diagnosis_group_code is null
            or coalesce(
                index_groups.is_any_age
                or pairs.index_age_years <= index_groups.maximum_age_years,
                false
            )
        )
)

select * from final
