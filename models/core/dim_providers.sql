-- One row per provider at a hospital.
with providers as (
    select * from {{ ref('stg_ehr__providers') }}
),

final as (
    select
        provider_key,
        hospital_key,
        specialty_code
    from providers
)

select * from final
