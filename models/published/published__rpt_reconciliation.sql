-- One row per table and check: what the source held against what arrived and what was quarantined.
--
-- Whether a check holds is found in exact counts and always shown. The counts themselves are
-- rounded up, source and lake to hundreds, quarantine to tens, and 1 to 10 is hidden: exact ones
-- would give the number of deleted or dropped rows by subtraction, and that of one night by
-- comparison with the day before. What was erased is not shown at all: it is one person's. Tables
-- of organisations hold no persons and are shown whole.
{{ config(alias='rpt_reconciliation') }}
with reconciliation as (
    select
        *,
        table_name in ('hospitals', 'feeds', 'providers', 'payers') as is_organisation
    from {{ ref('rpt_reconciliation') }}
),

flagged as (
    select
        *,
        not is_organisation and {{ is_small_count('source_count') }} as is_source_hidden,
        not is_organisation and {{ is_small_count('lake_count') }} as is_lake_hidden,
        not is_organisation and {{ is_small_count('quarantined_count') }} as is_quarantine_hidden
    from reconciliation
),

final as (
    select
        check_key,
        check_code,
        source_name,
        table_name,
        column_name,
        case
            when is_organisation then source_count
            when not is_source_hidden then {{ round_up_count('source_count', 100) }}
        end as source_count,
        case
            when is_organisation then lake_count
            when not is_lake_hidden then {{ round_up_count('lake_count', 100) }}
        end as lake_count,
        case
            when is_organisation then quarantined_count
            when not is_quarantine_hidden then {{ round_up_count('quarantined_count') }}
        end as quarantined_count,
        is_equal,
        is_source_hidden or is_lake_hidden or is_quarantine_hidden as is_suppressed
    from flagged
)

select * from final
