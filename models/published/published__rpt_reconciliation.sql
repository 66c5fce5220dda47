-- One row per table and check: what the source held against what arrived and what was quarantined.
--
-- Counts are hidden where one of them is 1 to 10, and where the quarantine of the same table has a
-- hidden reason (source minus lake minus the shown reasons would be that count). Whether the check
-- holds is always shown. Tables of organisations hold no persons and are shown whole.
{{ config(alias='rpt_reconciliation') }}
with reconciliation as (
    select
        *,
        table_name in ('hospitals', 'feeds', 'providers', 'payers') as is_organisation
    from {{ ref('rpt_reconciliation') }}
),

hidden_reasons as (
    select distinct
        source_name,
        table_name
    from {{ ref('rpt_quarantine') }}
    where {{ is_small_count('row_count') }}
),

flagged as (
    select
        reconciliation.*,
        not reconciliation.is_organisation
        and {{ is_small_count('reconciliation.source_count') }} as is_source_hidden,
        not reconciliation.is_organisation
        and (
            hidden_reasons.table_name is not null
            or {{ is_small_count('reconciliation.source_count') }}
            or {{ is_small_count('reconciliation.lake_count') }}
            or {{ is_small_count('reconciliation.quarantined_count') }}
            or {{ is_small_count('abs(reconciliation.source_count - reconciliation.lake_count)') }}
        ) as is_lake_hidden
    from reconciliation
    left join hidden_reasons
        on
            reconciliation.source_name = hidden_reasons.source_name
            and reconciliation.table_name = hidden_reasons.table_name
),

final as (
    select
        check_key,
        check_code,
        source_name,
        table_name,
        column_name,
        {{ suppress('source_count', 'is_source_hidden') }} as source_count,
        {{ suppress('lake_count', 'is_lake_hidden') }} as lake_count,
        {{ suppress('quarantined_count', 'is_lake_hidden') }} as quarantined_count,
        is_equal,
        is_source_hidden or is_lake_hidden as is_suppressed
    from flagged
)

select * from final
