"""Inverting limits, percentages, centre lines and funnels: they must lead to shown counts only.

A Wilson limit and a percentage give back the count they were drawn from; a centre line times its
months, less the months that are shown, gives the hidden one. So nothing may be drawn from what is
hidden: every derived figure of the file is made again here from the counts the file shows.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from governance.settings import Settings
from ops.publication.derived import Cell, funnel_tables, xmr_table
from ops.publication.publish import publish
from ops.statistics.intervals import wilson_interval
from tests.helpers.small_warehouse import build_small_warehouse, write_record

pytestmark = pytest.mark.integration

# Medians need 11 observations and 90th percentiles 110: until that is built, none is published.
PERCENTILES = re.compile(r"median|percentile|quantile|quartile|(^|_)p\d\d?(_|$)")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second publication of a network whose closed months have changed since the first."""
    home = tmp_path_factory.mktemp("inversions")
    build_small_warehouse(home)
    settings = Settings(home=home, is_synthetic=True)
    publish(settings)
    with duckdb.connect(str(settings.warehouse)) as con:
        for table in ("monthly", "half_yearly"):
            con.execute(
                f"update published.rpt_ed_returns_{table} set numerator_count = "
                "numerator_count + 1 where numerator_count > 10"
            )
    write_record(home)
    return publish(settings).network_file


def query(file: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(file), read_only=True) as con:
        return con.execute(sql).fetchall()


def shown_cells(file: Path, table: str, period: str) -> list[Cell]:
    rows = query(
        file,
        f"select hospital_key, {period}, measure_code, numerator_count, index_visits_count, "
        f"all_visits_count from {table} order by all",
    )
    return [Cell(*row) for row in rows]


def as_rows(table: pa.Table) -> list[str]:
    return sorted(map(repr, (tuple(row.values()) for row in table.to_pylist())))


def test_every_derived_figure_can_be_made_from_the_shown_counts(file: Path) -> None:
    months = shown_cells(file, "rpt_ed_returns_monthly", "month_on")
    halves = shown_cells(file, "rpt_ed_returns_half_yearly", "period_on")
    assert [cell for cell in months if cell.numerator is None]
    funnel, limits = funnel_tables(halves)
    again = {
        "rpt_ed_returns_xmr": xmr_table(months, with_network=True),
        "rpt_ed_returns_funnel": funnel,
        "rpt_ed_returns_funnel_limits": limits,
    }
    for table, made in again.items():
        assert as_rows(made) == sorted(map(repr, query(file, f"from {table}"))), table


def count_behind_limit(limit: float, denominator: int) -> list[int]:
    """The numerators whose lower Wilson limit is this one, to three decimals."""
    found = (round(wilson_interval(n, denominator)[0], 3) for n in range(denominator + 1))
    return [n for n, lower in enumerate(found) if lower == round(limit, 3)]


def counts_behind_percentage(rate: float, denominator: int) -> list[int]:
    """The numerators whose percentage, to one decimal, is this one."""
    found = (round(100 * n / denominator, 1) for n in range(denominator + 1))
    return [n for n, percentage in enumerate(found) if percentage == round(100 * rate, 1)]


def test_limits_and_percentages_stand_beside_shown_counts_only(file: Path) -> None:
    rows = query(
        file,
        "select hospital_key, period_on, measure_code, denominator_count, numerator_count, "
        "wilson_lower, rate from rpt_ed_returns_funnel",
    )
    hidden = {
        (cell.hospital_key, cell.period_on, cell.measure_code)
        for cell in shown_cells(file, "rpt_ed_returns_half_yearly", "period_on")
        if cell.numerator is None
    }
    assert hidden
    # The attack works: it gives back the counts of those that are shown, and there are no others.
    small = [row for row in rows if row[3] < 1000]
    assert small
    for *_, denominator, numerator, lower, rate in small:
        assert numerator in count_behind_limit(lower, denominator)
        assert counts_behind_percentage(rate, denominator) == [numerator]
    assert not hidden & {row[:3] for row in rows}
    assert not [row for row in rows if 1 <= row[4] <= 10]


def test_a_centre_line_holds_no_hidden_month(file: Path) -> None:
    series = defaultdict(list)
    for hospital, measure, code, month, rate, mean, upper in query(
        file,
        "select hospital_key, measure_code, denominator_code, month_on, rate, "
        "mean_rate, upper_limit from rpt_ed_returns_xmr",
    ):
        series[hospital, measure, code].append((month, rate, mean, upper))
    open_months = {
        month
        for (month,) in query(
            file,
            "select distinct month_on from rpt_ed_returns_monthly "
            "where suppression_code = 'open_period'",
        )
    }
    whole = 0
    for points in series.values():
        rates = [rate for _, rate, _, _ in points]
        closed = [rate for month, rate, _, _ in points if month not in open_months]
        mean, upper = points[0][2:]
        if mean is None:
            assert upper is None
            continue
        whole += 1
        # Mean times months, less what is shown: nothing is left for a hidden one.
        assert None not in closed
        assert mean * len(closed) - sum(rate for rate in rates if rate) == pytest.approx(0)
    assert whole > 3


def test_p_limits_stand_where_every_closed_month_is_shown(file: Path) -> None:
    # The middle of two p-limits is the pooled rate: times all visits, less the returns shown.
    rows = query(
        file,
        "select series_code, hospital_key, measure_code, denominator_code, numerator_count, "
        "denominator_count, p_lower_limit, p_upper_limit, mean_rate from rpt_ed_returns_xmr",
    )
    assert not [
        row for row in rows if row[8] is None and (row[6] is not None or row[7] is not None)
    ]
    series = defaultdict(list)
    for row in rows:
        if row[6] is not None and row[4] is not None and row[6] > 0:
            series[row[:4]].append(row)
    whole = 0
    for found in series.values():
        shown = [row for row in rows if row[:4] == found[0][:4] and row[4] is not None]
        visits = sum(row[5] for row in shown)
        for row in found:
            pooled = (row[6] + row[7]) / 2
            assert pooled * visits - sum(r[4] for r in shown) == pytest.approx(0, abs=1e-6)
            whole += 1
    assert whole > 30


def test_the_mean_that_rates_are_shrunk_to_holds_no_hidden_hospital(file: Path) -> None:
    funnels = defaultdict(list)
    for *head, numerator, denominator, rate, shrunk, weight in query(
        file,
        "select period_on, measure_code, denominator_code, numerator_count, denominator_count, "
        "rate, shrunk_rate, own_weight from rpt_ed_returns_funnel where own_weight < 0.999",
    ):
        # The reader solves a shrunk rate for what it was shrunk to.
        mean = (shrunk - weight * rate) / (1 - weight)
        funnels[tuple(head)].append((mean, numerator, denominator))
    assert len(funnels) > 3
    for found in funnels.values():
        returns = sum(numerator for _, numerator, _ in found)
        visits = sum(denominator for *_, denominator in found)
        for mean, _, _ in found:
            # All returns that the mean holds, less those that are shown: nothing is left.
            assert mean * visits - returns == pytest.approx(0, abs=1e-6)


def test_days_until_the_return_stand_in_the_hospitals_own_file_only(file: Path) -> None:
    tables = {name for (name,) in query(file, "select table_name from duckdb_tables()")}
    columns = {name for (name,) in query(file, "select column_name from duckdb_columns()")}
    assert not [name for name in tables if "time_to_return" in name or "curve" in name]
    assert not columns & {"at_risk_count", "day_number", "waiting_share", "deaths_count"}
    own = file.parent.parent / "operational" / "harbour" / "current.duckdb"
    counted = "select count(*) from {}rpt_ed_time_to_return where {}"
    assert query(own, counted.format("own.", "at_risk_count > 0"))[0][0] > 30
    # Each hospital's counts differ: what stands there is this one's, and nobody else's.
    with duckdb.connect(str(file.parent.parent / "warehouse.duckdb"), read_only=True) as con:
        whole = con.execute(
            "select at_risk_count from marts.rpt_ed_time_to_return "
            "where hospital_key = 'harbour' order by all"
        ).fetchall()
    assert query(own, "select at_risk_count from own.rpt_ed_time_to_return order by all") == whole


def test_no_percentile_is_published(file: Path) -> None:
    columns = query(file, "select distinct column_name from duckdb_columns()")
    assert len(columns) > 30
    assert not [name for (name,) in columns if PERCENTILES.search(name)]
