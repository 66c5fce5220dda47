-- One row: whether totals of the whole network leave the hidden cells of the headline hidden.
--
-- A reader subtracts every shown half-year and month from the total; what is left is the sum of
-- the cells counted here. Open months hold large counts: they make any small cell free.
with headline_measures as (
    select * from {{ ref('ed_return_measures') }}
    where is_headline
),

cells as (
    select * from {{ ref('int_ed_return_cells__protected') }}
),

periods as (
    select * from {{ ref('int_ed_return_periods__protected') }}
),

unexplained as (
    select
        cells.numerator_count,
        cells.index_visits_count,
        cells.is_open,
        cells.is_numerator_hidden and periods.is_numerator_hidden as is_numerator_unexplained,
        cells.is_visits_hidden and periods.is_visits_hidden as is_visits_unexplained
    from cells
    inner join headline_measures on cells.measure_code = headline_measures.measure_code
    inner join periods
        on
            cells.hospital_key = periods.hospital_key
            and cells.measure_code = periods.measure_code
            and cells.period_on = periods.period_on
),

sums as (
    select
        count(case when is_numerator_unexplained then 1 end) as numerators_count,
        coalesce(
            sum(case when is_numerator_unexplained then numerator_count end), 0
        ) as numerators_sum,
        coalesce(sum(case when is_open then numerator_count end), 0) as open_numerators_sum,
        count(case when is_visits_unexplained then 1 end) as visits_count,
        coalesce(
            sum(case when is_visits_unexplained then index_visits_count end), 0
        ) as visits_sum,
        coalesce(sum(case when is_open then index_visits_count end), 0) as open_visits_sum
    from unexplained
),

final as (
    select
        {{ is_sum_safe('numerators_sum', 'numerators_count') }}
        or open_numerators_sum >= 2 * {{ var('largest_hidden_count') }}
            as is_numerator_total_safe,
        {{ is_sum_safe('visits_sum', 'visits_count') }}
        or open_visits_sum >= 2 * {{ var('largest_hidden_count') }} as is_visits_total_safe
    from sums
)

select * from final
