-- One row per stratum of the model that the headline measure is standardised by.
{{ config(alias='standard_strata') }}
with strata as (
    select * from {{ ref('ed_standard_strata') }}
),

final as (
    select
        stratum_number,
        stratum_code,
        stratum_name,
        source,
        minimum_age_years,
        maximum_age_years,
        lowest_acuity_code,
        highest_acuity_code,
        is_rest,
        verified
    from strata
)

select * from final
