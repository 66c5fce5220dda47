"""What the pages read: published files through a locked-down, read-only connection.

Connections and results are cached by the *real* path of a file: a publication is a new file behind
the link ``current.duckdb``, so the first rerun after it reads the new one, and a reader in the
middle of the old one is not disturbed. Every cached function takes the view's path and schema as
arguments: a result cached for one hospital is never another's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import streamlit as st

from governance.settings import Settings
from ops.locked_files import CURRENT, open_locked

NETWORK = "network"
Row = dict[str, Any]


@dataclass(frozen=True)
class View:
    """Whose figures are shown: the network's, or one hospital's own."""

    scope: str
    path: str

    @property
    def is_network(self) -> bool:
        """The network's protected figures, as every signed-in reader may see them."""
        return self.scope == NETWORK

    @property
    def schema(self) -> str:
        """The schema with the view's ED figures."""
        return "main" if self.is_network else "own"


def find_views(settings: Settings) -> dict[str, View]:
    """Return what can be viewed, the network first; empty where nothing has been published."""
    links = {NETWORK: settings.published / CURRENT}
    if settings.operational.is_dir():
        for directory in sorted(settings.operational.iterdir()):
            links[directory.name] = directory / CURRENT
    views = {scope: View(scope, str(link.resolve())) for scope, link in links.items() if _is(link)}
    return views if NETWORK in views else {}


def _is(link: Path) -> bool:
    return link.is_file()


@st.cache_resource(max_entries=24, show_spinner=False)
def _connection(path: str) -> duckdb.DuckDBPyConnection:
    return open_locked(path)


@st.cache_data(max_entries=512, show_spinner=False)
def _rows(path: str, sql: str, parameters: tuple[Any, ...] = ()) -> list[Row]:
    cursor = _connection(path).cursor()
    try:
        result = cursor.execute(sql, list(parameters))
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    finally:
        cursor.close()


def hospitals(view: View) -> list[Row]:
    """Return hospitals: key, name, peer group."""
    return _rows(
        view.path,
        "select hospital_key, hospital_name, peer_group_code from dim_hospitals "
        "order by hospital_name",
    )


def publication(view: View) -> Row:
    """Return snapshot, build and publication times and whether the data are made up."""
    return _rows(
        view.path,
        "select snapshots.*, publication.built_at, publication.published_at "
        "from rpt_snapshot as snapshots cross join publication",
    )[0]


def measures(view: View) -> list[Row]:
    """Return the measures of ED returns that this reader sees, the headline first."""
    return _rows(
        view.path,
        "select * from measures where is_network_published or not $1 "
        "order by is_headline desc, is_network_published desc, measure_code",
        (view.is_network,),
    )


def xmr_series(view: View, measure: str, denominator: str) -> dict[str, list[Row]]:
    """Return the XmR points of each series by month: ``network`` or a hospital's key."""
    found = _rows(
        view.path,
        f"select coalesce(hospital_key, '{NETWORK}') as series, * "
        f"from {view.schema}.rpt_ed_returns_xmr "
        "where measure_code = $1 and denominator_code = $2 order by series, month_on",
        (measure, denominator),
    )
    series: dict[str, list[Row]] = {}
    for row in found:
        series.setdefault(row["series"], []).append(row)
    return series


def revisions(view: View, series: str, measure: str) -> list[Row]:
    """Return the months of a series whose figures are not those first published: both, in order.

    The network's series have none of their own. A hospital's own figures are held to what the
    network's file shows of it; ``is_new_series``: the measure counts something else since.
    """
    if series == NETWORK:
        return []
    first = (
        "select *, row_number() over (partition by hospital_key, measure_code, month_on "
        "order by published_at) as version from history.rpt_ed_returns_monthly"
        if view.is_network
        else "select *, 1 as version from main.rpt_ed_returns_monthly"
    )
    counts = ("numerator_count", "all_visits_count", "index_visits_count")
    both = ", ".join(f"first.{c} as first_{c}, now.{c} as now_{c}" for c in counts)
    differs = " or ".join(f"first.{c} is distinct from now.{c}" for c in counts)
    return _rows(
        view.path,
        f"select now.month_on, {both}, now.numerator_count is null as is_new_series "
        f"from {view.schema}.rpt_ed_returns_monthly as now inner join ({first}) as first "
        "using (hospital_key, month_on, measure_code) "
        "where now.hospital_key = $1 and now.measure_code = $2 and first.version = 1 "
        f"and first.numerator_count is not null and ({differs}) order by now.month_on",
        (series, measure),
    )


def suppression(view: View, measure: str) -> dict[tuple[str, Any], str]:
    """Return why a cell is hidden, by hospital and month."""
    found = _rows(
        view.path,
        f"select hospital_key, month_on, suppression_code from {view.schema}.rpt_ed_returns_monthly"
        " where measure_code = $1 and suppression_code is not null",
        (measure,),
    )
    return {(row["hospital_key"], row["month_on"]): row["suppression_code"] for row in found}


def funnel_periods(view: View, measure: str, denominator: str) -> list[Any]:
    """Return half-years that have a funnel, the latest first."""
    found = _rows(
        view.path,
        "select distinct period_on from rpt_ed_returns_funnel "
        "where measure_code = $1 and denominator_code = $2 order by period_on desc",
        (measure, denominator),
    )
    return [row["period_on"] for row in found]


def funnel(view: View, schema: str, measure: str, denominator: str, period: Any) -> list[Row]:
    """Return the points of one funnel from ``main`` (the network's) or ``own``."""
    return _rows(
        view.path,
        f"select points.*, hospitals.hospital_name from {schema}.rpt_ed_returns_funnel as points "
        "inner join dim_hospitals as hospitals using (hospital_key) "
        "where measure_code = $1 and denominator_code = $2 and period_on = $3 "
        "order by hospital_name",
        (measure, denominator, period),
    )


def funnel_limits(view: View, measure: str, denominator: str, period: Any) -> list[Row]:
    """Return the curve of the limits over the range of denominators."""
    return _rows(
        view.path,
        "select * from rpt_ed_returns_funnel_limits where measure_code = $1 "
        "and denominator_code = $2 and period_on = $3 order by denominator_count",
        (measure, denominator, period),
    )


def return_curve_periods(view: View) -> list[Any]:
    """Return half-years that a hospital's own file has a time-to-return curve of, latest first."""
    found = _rows(
        view.path, "select distinct period_on from own.rpt_ed_return_curves order by period_on desc"
    )
    return [row["period_on"] for row in found]


def return_curve(view: View, period: Any) -> list[Row]:
    """Return the days of one curve with the counts they are made of."""
    return _rows(
        view.path,
        "select * from own.rpt_ed_return_curves inner join own.rpt_ed_time_to_return "
        "using (period_on, day_number) where period_on = $1 order by day_number",
        (period,),
    )


def ed_attrition(view: View) -> list[Row]:
    """Return the steps from registrations to the numerator of the headline measure."""
    return _rows(
        view.path,
        f"select * from {view.schema}.rpt_ed_returns_attrition order by step_number",
    )


def network_findings(view: View) -> list[Row]:
    """Return what the network's chart reviews found, by half-year, in the order of the form."""
    return _rows(
        view.path, "select * from main.rpt_ed_audits_network order by period_on, sort_number"
    )


def review_worklist(view: View) -> list[Row]:
    """Return the cases that a hospital reviews, the newest quarter and sentinel ones first."""
    return _rows(
        view.path,
        "select * from own.rpt_ed_review_worklist "
        "order by quarter_on desc, reason_code desc, sample_number, index_visit_key",
    )


def ed_visit_mix(view: View, dimension: str) -> list[Row]:
    """Return a hospital's own visits by month and value of one dimension."""
    return _rows(
        view.path,
        "select month_on, value_code, value_name, visits_count from own.rpt_ed_visit_mix_monthly "
        "where dimension_code = $1 order by month_on, value_code",
        (dimension,),
    )


def ed_intervals(view: View) -> list[Row]:
    """Return how long a hospital's own visits took, by month, interval and disposition."""
    return _rows(
        view.path,
        "select * from own.rpt_ed_intervals_monthly "
        "order by month_on, interval_code, disposition_code",
    )


def ed_census(view: View) -> list[Row]:
    """Return how many patients were in a hospital's own ED, by month and hour of the day."""
    return _rows(view.path, "select * from own.rpt_ed_census_monthly order by month_on, read_hour")


def payers(view: View) -> list[Row]:
    """Return payers that have claims, the largest first; also one that is named nowhere else."""
    return _rows(
        view.path,
        "select claims.payer_key, coalesce(payers.payer_name, "
        "'Payer ' || claims.payer_key || ', not listed', 'No payer named') as payer_name, "
        "sum(claims.claims_count) as claims_count "
        "from rpt_claims_monthly as claims left join dim_payers as payers using (payer_key) "
        "group by all order by claims_count desc nulls last, payer_name",
    )


def claims_monthly(view: View, payer: str | None) -> list[Row]:
    """Return one payer's claims by month of service, as far as the months have run out."""
    return _rows(
        view.path,
        "select * from rpt_claims_monthly where payer_key is not distinct from $1 "
        "and suppression_code is distinct from 'open_period' order by month_on",
        (payer,),
    )


def cohorts(view: View) -> list[Row]:
    """Return cohorts and their definitions."""
    return _rows(view.path, "select * from dim_cohorts order by cohort_name")


def cohort_attrition(view: View, cohort: str) -> list[Row]:
    """Return the steps of one cohort."""
    return _rows(
        view.path,
        "select * from rpt_cohort_attrition where cohort_code = $1 order by rule_number",
        (cohort,),
    )


def reconciliation(view: View) -> list[Row]:
    """Return every check of the snapshot against its sources, failed ones first."""
    return _rows(
        view.path,
        "select * from rpt_reconciliation "
        "order by is_equal, source_name, table_name, check_code, column_name nulls first",
    )


def quarantine(view: View) -> list[Row]:
    """Return what was kept out of the lake, and why."""
    return _rows(
        view.path,
        "select * from rpt_quarantine "
        "order by source_name, table_name, column_name nulls first, reason_code",
    )
