-- One row per hospital, half-year and measure: the sums and what of them must be hidden.
with cells as (
    select * from {{ ref('int_ed_return_periods__small') }}
),

nested_measures as (
    select * from {{ ref('int_ed_return_measures__nested') }}
),

{{ hide_related_measures('cells', 'period_on') }},

final as (
    select
        cells.hospital_key,
        cells.measure_code,
        cells.numerator_count,
        cells.index_visits_count,
        cells.all_visits_count,
        cells.is_open,
        cells.is_visits_hidden,
        related_cells.is_numerator_hidden,
        cells.period_on,
        cells.data_through_at
    from cells
    inner join related_cells
        on
            cells.hospital_key = related_cells.hospital_key
            and cells.measure_code = related_cells.measure_code
            and cells.period_on = related_cells.period_on
)

select * from final
