-- One row per hospital, half-year and measure: the sums of its months and what they hide.
--
-- A sum is shown beside its months only where the hidden months stay hidden: each may then still
-- be anything from 1 to 10 (is_sum_safe). Of two nested measures with hidden months only the wider
-- one's sum is shown: no child is greater than its parent, and both sums together may leave a month
-- no choice.
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

nested_measures as (
    select * from {{ ref('int_ed_return_measures__nested') }}
),

nested_sums as (
    select distinct
        children.hospital_key,
        children.measure_code,
        children.period_on
    from sums as children
    inner join nested_measures on children.measure_code = nested_measures.child_measure_code
    inner join sums as parents
        on
            nested_measures.parent_measure_code = parents.measure_code
            and children.hospital_key = parents.hospital_key
            and children.period_on = parents.period_on
    where children.hidden_cells_count > 0 and parents.hidden_cells_count > 0
),

visits_flagged as (
    select
        sums.*,
        nested_sums.measure_code is not null as is_nested_sum,
        {{ add_days(
            "cast(sums.period_on + interval '6' month as date)", var('publication_closing_days')
        ) }} > sums.data_through_at as is_open
    from sums
    left join nested_sums
        on
            sums.hospital_key = nested_sums.hospital_key
            and sums.measure_code = nested_sums.measure_code
            and sums.period_on = nested_sums.period_on
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
        or is_nested_sum
        or not {{ is_sum_safe('hidden_sum', 'hidden_cells_count') }}
        or {{ is_small_count('numerator_count') }}
        or {{ is_small_count('index_visits_count - numerator_count') }}
        or {{ is_small_count('all_visits_count - numerator_count') }} as is_numerator_small,
        period_on,
        data_through_at
    from visits_flagged
)

select * from final
