"""What a hospital's own file holds: its figures whole, each by a query for one hospital."""

from __future__ import annotations

from ops.publication.worklist import OWN_WORKLIST, WORKLIST

OWN_MONTHLY = """
    select
        hospital_key, month_on, measure_code,
        numerator_count, index_visits_count, all_visits_count,
        false as is_suppressed, cast(null as varchar) as suppression_code, data_through_at
    from warehouse.marts.rpt_ed_returns_monthly
    where hospital_key = $hospital
"""
OWN_HALF_YEARLY = """
    select
        hospital_key,
        cast(
            date_trunc('year', month_on)
            + to_months(cast(6 * ((month(month_on) - 1) // 6) as integer)) as date
        ) as period_on,
        measure_code,
        cast(sum(numerator_count) as bigint) as numerator_count,
        cast(sum(index_visits_count) as bigint) as index_visits_count,
        cast(sum(all_visits_count) as bigint) as all_visits_count,
        false as is_suppressed,
        cast(null as varchar) as suppression_code,
        min(data_through_at) as data_through_at
    from warehouse.marts.rpt_ed_returns_monthly
    where hospital_key = $hospital
    group by hospital_key, period_on, measure_code
"""
OWN_ATTRITION = """
    select
        step_code, step_name, step_number, registrations_count, is_exclusion,
        false as is_suppressed
    from warehouse.marts.rpt_ed_returns_attrition
    where hospital_key = $hospital
"""

OWN_VISIT_MIX = """
    select dimension_code, value_code, value_name, visits_count, month_on
    from warehouse.marts.rpt_ed_visit_mix_monthly
    where hospital_key = $hospital
"""
OWN_INTERVALS = """
    select
        interval_code, disposition_code, visits_count, measured_count,
        median_minutes, p90_minutes, month_on
    from warehouse.marts.rpt_ed_intervals_monthly
    where hospital_key = $hospital
"""
OWN_CENSUS = """
    select read_hour, readings_count, patients_count, most_patients_count, month_on
    from warehouse.marts.rpt_ed_census_monthly
    where hospital_key = $hospital
"""
OWN_TIME_TO_RETURN = """
    select
        period_on, day_number, at_risk_count, admitted_returns_count, other_returns_count,
        unknown_returns_count, deaths_count, lost_count, data_through_at
    from warehouse.marts.rpt_ed_time_to_return
    where hospital_key = $hospital
"""
OWN_STRATA = """
    select hospital_key, measure_code, stratum_code, numerator_count, index_visits_count, period_on
    from warehouse.marts.rpt_ed_returns_by_stratum
    where hospital_key = $hospital
"""
OWN_AUDITS = """
    select
        quarter_on, reviewed_count, issue_count, reviewed_twice_count, unknown_cases_count
    from warehouse.marts.rpt_ed_audits_quarterly
    where hospital_key = $hospital
"""
OWN_AUDIT_THEMES = """
    select
        quarter_on, theme_group_code, theme_code, theme_name, sort_number,
        reviewed_count, issue_count, theme_count
    from warehouse.marts.rpt_ed_audit_themes
    where hospital_key = $hospital
"""
# The allow-list of what a hospital's own file holds of itself, whole.
OWN_TABLES = {
    "rpt_ed_returns_monthly": OWN_MONTHLY,
    "rpt_ed_returns_half_yearly": OWN_HALF_YEARLY,
    "rpt_ed_returns_attrition": OWN_ATTRITION,
    "rpt_ed_visit_mix_monthly": OWN_VISIT_MIX,
    "rpt_ed_intervals_monthly": OWN_INTERVALS,
    "rpt_ed_census_monthly": OWN_CENSUS,
    "rpt_ed_returns_by_stratum": OWN_STRATA,
    "rpt_ed_time_to_return": OWN_TIME_TO_RETURN,
    "rpt_ed_audits_quarterly": OWN_AUDITS,
    "rpt_ed_audit_themes": OWN_AUDIT_THEMES,
    WORKLIST: OWN_WORKLIST,
}
