-- One row per hospital, half-year and measure: the sums of its months and what they hide.
--
-- A sum is shown beside its months only where the hidden months stay hidden: each may then still
-- be anything from 1 to 10 (is_sum_safe).
with cells as (
    select * from {{ ref('int_ed_return_cells__protected') }}
),

sums as (
    select
        hospital_key,
        measure_code,
        cast(sum(numerator_count) as bigint) as numerator_count,
        cast(sum(index_visits_count) as bigint) as index_visits_count,
        cast(sum(all_visits_count) as bigint) as all_visits_count,
        sum(case when is_numerator_hidden then numerator_count else 0 end) as hidden_sum,
        sum(case when is_numerator_hidden then 1 else 0 end) as hidden_cells_count,
        bool_or(is_visits_hidden) as has_hidden_visits,
        period_on,
        min(data_through_at) as data_through_at
    from cells
    group by hospital_key, measure_code, period_on
),

visits_flagged as (
    select
        *,
        {{ add_days(
            "cast(period_on + interval '6' month as date)", var('publication_closing_days')
        ) }} > data_through_at as is_open
    from sums
),

final as (
    select
        hospital_key,
        measure_code,
        numerator_count,
        index_visits_count,
        all_visits_count,
        is_open,
        is_open or has_hidden_visits as is_visits_hidden,
        is_open
        or has_hidden_visits
        or not {{ is_sum_safe('hidden_sum', 'hidden_cells_count') }}
        or {{ is_small_count('numerator_count') }}
        or {{ is_small_count('index_visits_count - numerator_count') }}
        or {{ is_small_count('all_visits_count - numerator_count') }} as is_numerator_small,
        period_on,
        data_through_at
    from visits_flagged
)

select * from final
