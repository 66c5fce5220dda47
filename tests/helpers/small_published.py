"""The `published` schema of the small warehouse, by rules coarser than those of the dbt models.

They stand in for the models where pages and publication are tested; they do not test them.
"""

from __future__ import annotations

import duckdb

CLOSING_DAYS = 10
RUNOUT_DAYS = 90


def _small(column: str) -> str:
    return f"({column} between 1 and 10)"


def fill_published(con: duckdb.DuckDBPyConnection) -> None:
    """Write the tables that the models of `models/published` write."""
    for table in ("core.dim_hospitals", "core.dim_payers", "marts.dim_cohorts"):
        name = table.split(".")[1]
        con.execute(f"create table published.{name} as select * from {table}")
    con.execute("create table published.rpt_snapshot as select * from quality.rpt_snapshot")
    con.execute(
        f"""
        create table published.rpt_ed_returns_monthly as
        select
            hospital_key, month_on, measure_code,
            case when not is_suppressed then numerator_count end as numerator_count,
            case when not hides_visits then index_visits_count end as index_visits_count,
            case when not hides_visits then all_visits_count end as all_visits_count,
            is_suppressed,
            case
                when is_open then 'open_period' when is_suppressed then 'small_cell'
            end as suppression_code,
            data_through_at
        from (
            select
                * exclude (is_suppressed),
                month_on + interval 1 month + interval {CLOSING_DAYS} day > data_through_at
                    as is_open,
                is_open or {_small("index_visits_count")} or {_small("all_visits_count")}
                    or {_small("all_visits_count - index_visits_count")} as hides_visits,
                hides_visits or {_small("numerator_count")} as is_suppressed
            from marts.rpt_ed_returns_monthly
        )
        """
    )
    con.execute(
        f"""
        create table published.rpt_ed_audits_network as
        select
            finding_code, finding_name, theme_group_code, sort_number,
            case when is_suppressed then 'small_cell' end as suppression_code, of_count,
            case when not is_suppressed then found_count end as found_count, is_suppressed,
            period_on
        from (
            select
                finding_code, finding_name, theme_group_code, sort_number, period_on,
                sum(of_count)::bigint as of_count,
                sum(found_count)::bigint as found_count,
                {_small("sum(found_count)")} as is_suppressed
            from marts.rpt_ed_audits_half_yearly where is_closed group by all
        )
        """
    )
    con.execute(
        f"""
        create table published.rpt_ed_returns_half_yearly as
        select
            hospital_key, period_on, measure_code,
            case when not is_suppressed then numerator_count end as numerator_count,
            case when not hides_visits then index_visits_count end as index_visits_count,
            case when not hides_visits then all_visits_count end as all_visits_count,
            is_suppressed,
            case
                when is_open then 'open_period' when is_suppressed then 'small_cell'
            end as suppression_code,
            data_through_at
        from (
            select
                hospital_key, measure_code,
                (date_trunc('year', month_on)
                    + to_months(6 * ((month(month_on) - 1) // 6)::int))::date as period_on,
                sum(numerator_count)::bigint as numerator_count,
                sum(index_visits_count)::bigint as index_visits_count,
                sum(all_visits_count)::bigint as all_visits_count,
                max(data_through_at) as data_through_at,
                period_on + interval 6 month + interval {CLOSING_DAYS} day
                    > max(data_through_at) as is_open,
                is_open or min(index_visits_count) <= 10 as hides_visits,
                hides_visits or sum(numerator_count) between 1 and 20 as is_suppressed
            from marts.rpt_ed_returns_monthly
            group by hospital_key, measure_code, period_on
        )
        """
    )
    con.execute(
        """
        create table published.rpt_ed_returns_attrition as
        select
            step_code, step_name, step_number,
            sum(registrations_count)::bigint as registrations_count,
            is_exclusion, false as is_suppressed
        from marts.rpt_ed_returns_attrition
        group by step_number, step_code, step_name, is_exclusion
        """
    )
    con.execute(
        f"""
        create table published.rpt_claims_monthly as
        with flagged as (
            select
                * exclude (voided_claims_count),
                month_on + interval 1 month + interval {RUNOUT_DAYS} day > data_through_at
                    as is_open,
                is_open or {_small("claims_count")} or member_months_count between 1 and 10
                    as is_suppressed
            from marts.rpt_claims_monthly
            cross join (select data_through_at from quality.rpt_snapshot)
        )
        select
            * exclude (data_through_at, is_open),
            cast(null as varchar) as suppression_code,
            is_suppressed as is_denial_suppressed,
            is_suppressed as is_payment_suppressed,
            is_suppressed as is_uncovered_suppressed
        from flagged
        where not is_suppressed
        union all by name
        select
            payer_key, month_on,
            case when is_open then 'open_period' else 'small_cell' end as suppression_code,
            true as is_suppressed, true as is_denial_suppressed,
            true as is_payment_suppressed, true as is_uncovered_suppressed
        from flagged
        where is_suppressed
        """
    )
    con.execute(
        f"""
        create table published.rpt_member_months as
        select
            payer_key, product_code, member_month_rule_code,
            case when not is_suppressed then member_months_count end as member_months_count,
            is_suppressed,
            case when is_open then 'open_period' when is_suppressed then 'small_cell' end
                as suppression_code,
            month_on
        from (
            select
                *,
                month_on + interval 1 month + interval {RUNOUT_DAYS} day > data_through_at
                    as is_open,
                is_open or {_small("member_months_count")} as is_suppressed
            from marts.rpt_member_months
            cross join (select data_through_at from quality.rpt_snapshot)
        )
        """
    )
    con.execute(
        f"""
        create table published.rpt_cohort_attrition as
        select
            cohort_code, rule_number, rule_name,
            case when not is_suppressed then persons_count end as persons_count,
            case when not is_suppressed then events_count end as events_count,
            is_suppressed
        from (
            select
                *,
                {_small("persons_count")} or {_small("events_count")}
                or coalesce(
                    {_small("lag(persons_count) over rules - persons_count")}, false
                ) as is_suppressed
            from marts.rpt_cohort_attrition
            window rules as (partition by cohort_code order by rule_number)
        )
        """
    )
    con.execute(
        f"""
        create table published.rpt_reconciliation as
        select
            check_key, source_name, table_name, column_name, check_code, source_count,
            case when not is_suppressed then lake_count end as lake_count,
            case when not is_suppressed then quarantined_count end as quarantined_count,
            is_equal, is_suppressed
        from (
            select *, coalesce({_small("quarantined_count")}, false) as is_suppressed
            from quality.rpt_reconciliation
        )
        """
    )
    con.execute(
        f"""
        create table published.rpt_quarantine as
        select
            quarantine_key, source_name, table_name, column_name, reason_code, is_row_dropped,
            case when not {_small("row_count")} then row_count end as row_count,
            {_small("row_count")} as is_suppressed
        from quality.rpt_quarantine
        """
    )
    con.execute(
        "create table published.publication_gate as select snapshot_id, 0 as violations_count "
        "from quality.rpt_snapshot"
    )
