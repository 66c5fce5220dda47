-- One row per measure of ED returns: its definition, for the pages.
{{ config(alias='measures') }}
with measures as (
    select * from {{ ref('ed_return_measures') }}
),

final as (
    select
        measure_code,
        pairing_code,
        return_outcome_code,
        return_diagnosis_group_code,
        index_diagnosis_group_code,
        return_exclusion_group_code,
        index_exclusion_group_code,
        denominator_code,
        measure_name,
        definition,
        source,
        window_hours,
        minimum_age_years,
        maximum_age_years,
        requires_admission,
        requires_same_hospital,
        requires_complete_follow_up,
        requires_known_outcome,
        is_headline,
        is_network_published,
        verified
    from measures
)

select * from final
