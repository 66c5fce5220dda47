-- One row per hospital, month and measure: the whole counts and what they hide by themselves.
--
-- A month is open until its longest window and late departures have passed: an open month grows
-- from one publication to the next, and the difference of two publications is a small count.
with cells as (
    select
        *,
        {{ add_days(
            "cast(month_on + interval '1' month as date)", var('publication_closing_days')
        ) }} > data_through_at as is_open
    from {{ ref('rpt_ed_returns_monthly') }}
),

-- Those of the others a hospital sees of itself only.
measures as (
    select * from {{ ref('ed_return_measures') }}
    where is_network_published
),

ranked_cells as (
    select
        cells.hospital_key,
        cells.measure_code,
        cells.numerator_count,
        cells.index_visits_count,
        cells.all_visits_count,
        cells.is_open,
        cells.month_on,
        cells.data_through_at,
        row_number() over (
            partition by cells.hospital_key, cells.month_on
            order by measures.window_hours, cells.measure_code
        ) as measure_rank
    from cells
    inner join measures on cells.measure_code = measures.measure_code
),

-- Of two measures whose denominators differ by 1 to 10, the one with the longer window hides its.
close_denominators as (
    select distinct
        later.hospital_key,
        later.measure_code,
        later.month_on
    from ranked_cells as later
    inner join ranked_cells as earlier
        on
            later.hospital_key = earlier.hospital_key
            and later.month_on = earlier.month_on
            and later.measure_rank > earlier.measure_rank
    where
        {{ is_small_count('abs(later.all_visits_count - earlier.all_visits_count)') }}
        or {{ is_small_count('abs(later.index_visits_count - earlier.index_visits_count)') }}
),

visits_flagged as (
    select
        ranked_cells.*,
        ranked_cells.is_open
        or close_denominators.measure_code is not null
        or {{ is_small_count('ranked_cells.index_visits_count') }}
        or {{ is_small_count('ranked_cells.all_visits_count') }}
        or {{ is_small_count('ranked_cells.all_visits_count - ranked_cells.index_visits_count') }}
            as is_visits_hidden
    from ranked_cells
    left join close_denominators
        on
            ranked_cells.hospital_key = close_denominators.hospital_key
            and ranked_cells.measure_code = close_denominators.measure_code
            and ranked_cells.month_on = close_denominators.month_on
),

final as (
    select
        hospital_key,
        measure_code,
        numerator_count,
        index_visits_count,
        all_visits_count,
        is_open,
        is_visits_hidden,
        is_visits_hidden
        or {{ is_small_count('numerator_count') }}
        or {{ is_small_count('index_visits_count - numerator_count') }}
        or {{ is_small_count('all_visits_count - numerator_count') }} as is_numerator_small,
        month_on,
        data_through_at
    from visits_flagged
)

select * from final
