-- One row per closed half-year and finding: the whole network's chart reviews, small counts hidden.
{{ config(alias='rpt_ed_audits_network') }}
with findings as (
    select * from {{ ref('int_ed_audit_findings__network') }}
),

names as (
    select distinct
        finding_code,
        finding_name,
        theme_group_code,
        sort_number
    from {{ ref('rpt_ed_audits_half_yearly') }}
),

final as (
    select
        findings.finding_code,
        names.finding_name,
        names.theme_group_code,
        names.sort_number,
        case when findings.is_found_hidden then 'small_cell' end as suppression_code,
        {{ suppress('findings.of_count', 'findings.is_of_hidden') }} as of_count,
        {{ suppress('findings.found_count', 'findings.is_found_hidden') }} as found_count,
        findings.is_found_hidden as is_suppressed,
        findings.period_on
    from findings
    inner join names on findings.finding_code = names.finding_code
)

select * from final
