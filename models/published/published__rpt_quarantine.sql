-- One row per table, column and reason: how many values were kept out of the lake.
--
-- A count of 1 to 10 is hidden here too: "three patients with a mistyped birth date" is a small
-- group of persons like any other. More are rounded up to tens, so that no difference of two nights
-- is one. The extractor's own report shows it whole.
{{ config(alias='rpt_quarantine') }}
with quarantine as (
    select
        *,
        {{ is_small_count('row_count') }} as is_suppressed
    from {{ ref('rpt_quarantine') }}
),

final as (
    select
        quarantine_key,
        reason_code,
        source_name,
        table_name,
        column_name,
        case when not is_suppressed then {{ round_up_count('row_count') }} end as row_count,
        is_row_dropped,
        is_suppressed
    from quarantine
)

select * from final
