-- One row per calendar date, from a year before the first encounter to a year after the last.
with encounters as (
    select * from {{ ref('fct_encounters') }}
),

bounds as (
    select
        {{ add_days("cast(date_trunc('year', min(started_at)) as date)", -365) }} as first_on,
        {{ add_days("cast(date_trunc('year', max(started_at)) as date)", 730) }} as last_on
    from encounters
),

spine as (
    {{ date_spine("bounds") }}
),

final as (
    select
        date_on,
        cast(extract(year from date_on) as int) as year_number,
        cast(extract(quarter from date_on) as int) as quarter_number,
        {{ iso_day_of_week("date_on") }} as iso_day_of_week,
        {{ month_of("date_on") }} as month_on
    from spine
)

select * from final
