-- One row per hospital, month and measure: the whole counts and what of them must be hidden.
with cells as (
    select * from {{ ref('int_ed_return_cells__small') }}
),

nested_measures as (
    select * from {{ ref('int_ed_return_measures__nested') }}
),

{{ hide_related_measures('cells', 'month_on') }},

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
        cells.month_on,
        {{ half_year_of('cells.month_on') }} as period_on,
        cells.data_through_at
    from cells
    inner join related_cells
        on
            cells.hospital_key = related_cells.hospital_key
            and cells.measure_code = related_cells.measure_code
            and cells.month_on = related_cells.month_on
)

select * from final
