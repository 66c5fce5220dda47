-- One row per covered stretch and calendar month it touches, with the covered days of that month.
-- Months are made from years and month numbers: no generator of series is the same on two engines.
with segments as (
    select * from {{ ref('int_coverages__segments') }}
),

digits as (
    {%- for digit in range(10) %}
        select {{ digit }} as digit
        {%- if not loop.last %}
            union all
        {%- endif %}
    {%- endfor %}
),

bounds as (
    select
        min(starts_on) as first_on,
        max(ends_on) as last_on
    from segments
),

years as (
    select cast(1900 + 100 * hundreds.digit + 10 * tens.digit + ones.digit as int) as year_number
    from digits as hundreds
    cross join digits as tens
    cross join digits as ones
    cross join bounds
    where
        hundreds.digit < 2
        and 1900 + 100 * hundreds.digit + 10 * tens.digit + ones.digit
        between extract(year from bounds.first_on) and extract(year from bounds.last_on)
),

month_numbers as (
    select cast(tens.digit * 10 + ones.digit as int) as month_number
    from digits as tens
    cross join digits as ones
    where tens.digit * 10 + ones.digit between 1 and 12
),

months as (
    select
        make_date(years.year_number, month_numbers.month_number, 1) as month_on,
        last_day(make_date(years.year_number, month_numbers.month_number, 1)) as month_ends_on
    from years
    cross join month_numbers
),

touched as (
    select
        segments.registration_key,
        segments.payer_key,
        segments.product_code,
        months.month_on,
        months.month_ends_on,
        greatest(segments.starts_on, months.month_on) as starts_on,
        least(segments.ends_on, months.month_ends_on) as ends_on
    from segments
    inner join months
        on segments.starts_on <= months.month_ends_on and segments.ends_on >= months.month_on
),

final as (
    select
        registration_key,
        payer_key,
        product_code,
        {{ day_diff('starts_on', 'ends_on') }} + 1 as covered_days_count,
        cast(extract(day from month_ends_on) as int) as month_days_count,
        starts_on = month_on as is_first_day_covered,
        extract(day from starts_on) <= 15 and extract(day from ends_on) >= 15
            as is_fifteenth_covered,
        -- A member-month belongs to the product of the month's last covered day.
        row_number() over (
            partition by registration_key, payer_key, month_on
            order by ends_on desc nulls last
        ) = 1 as is_last_of_month,
        month_on
    from touched
)

select * from final
