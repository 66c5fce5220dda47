-- One row: present only when every published table and every mart of the build passed its tests.
--
-- A test on one table does not hold back another: this model depends on all of them, and files are
-- published only from a build in which it succeeded.
-- depends_on: {{ ref('rpt_ed_returns_monthly') }}
-- depends_on: {{ ref('rpt_ed_returns_attrition') }}
-- depends_on: {{ ref('rpt_ed_audits_half_yearly') }}
-- depends_on: {{ ref('rpt_ed_audits_quarterly') }}
-- depends_on: {{ ref('rpt_ed_audit_themes') }}
-- depends_on: {{ ref('rpt_ed_census_monthly') }}
-- depends_on: {{ ref('rpt_ed_intervals_monthly') }}
-- depends_on: {{ ref('rpt_ed_time_to_return') }}
-- depends_on: {{ ref('rpt_ed_visit_mix_monthly') }}
-- depends_on: {{ ref('rpt_ed_review_worklist') }}
-- depends_on: {{ ref('dim_cohorts') }}
-- depends_on: {{ ref('fct_cohort_members') }}
-- depends_on: {{ ref('rpt_cohort_attrition') }}
-- depends_on: {{ ref('rpt_claim_data_quality') }}
-- depends_on: {{ ref('rpt_claims_monthly') }}
-- depends_on: {{ ref('rpt_member_months') }}
-- depends_on: {{ ref('rpt_quarantine') }}
-- depends_on: {{ ref('rpt_reconciliation') }}
-- depends_on: {{ ref('published__dim_cohorts') }}
-- depends_on: {{ ref('published__dim_hospitals') }}
-- depends_on: {{ ref('published__dim_payers') }}
-- depends_on: {{ ref('published__measures') }}
-- depends_on: {{ ref('published__rpt_claims_monthly') }}
-- depends_on: {{ ref('published__rpt_cohort_attrition') }}
-- depends_on: {{ ref('published__rpt_ed_audits_network') }}
-- depends_on: {{ ref('published__rpt_ed_returns_attrition') }}
-- depends_on: {{ ref('published__rpt_ed_returns_half_yearly') }}
-- depends_on: {{ ref('published__rpt_ed_returns_monthly') }}
-- depends_on: {{ ref('published__rpt_member_months') }}
-- depends_on: {{ ref('published__rpt_quarantine') }}
-- depends_on: {{ ref('published__rpt_reconciliation') }}
with snapshots as (
    select * from {{ ref('published__rpt_snapshot') }}
),

final as (
    select
        snapshot_id,
        cast('{{ invocation_id }}' as string) as build_id
    from snapshots
)

select * from final
