-- One row per hospital, half-year and measure for the network: small and derivable counts hidden.
--
-- Hidden is null with is_suppressed; zero is zero.
{{ config(alias='rpt_ed_returns_half_yearly') }}
with cells as (
    select * from {{ ref('int_ed_return_periods__protected') }}
),

final as (
    select
        hospital_key,
        measure_code,
        case
            when is_open then 'open_period'
            when is_numerator_hidden then 'small_cell'
        end as suppression_code,
        {{ suppress('numerator_count', 'is_numerator_hidden') }} as numerator_count,
        {{ suppress('index_visits_count', 'is_visits_hidden') }} as index_visits_count,
        {{ suppress('all_visits_count', 'is_visits_hidden') }} as all_visits_count,
        is_numerator_hidden as is_suppressed,
        period_on,
        data_through_at
    from cells
)

select * from final
