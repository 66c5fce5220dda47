"""An attacker with all the published tables against the counts they hide.

The attacker knows the rules: that hidden counts of 1 to 10 are 1 to 10, that sentinel returns are
the sum of their three parts, that admitted returns are among all returns, that half-years are sums
of months and the network's attrition a sum over hospitals. Intervals are propagated until nothing
moves. No small count may come out, nor nearly: three values must stay possible.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from governance.settings import PROJECT_ROOT
from tests.helpers.small_warehouse import (
    ANY_RETURN,
    HEADLINE,
    HOSPITALS,
    MONTHS,
    SENTINEL_PARTS,
    Cell,
    build_small_warehouse,
)

pytestmark = pytest.mark.integration

SENTINEL = "ed_return_7d_sentinel"
PARTS = [row[0] for row in SENTINEL_PARTS]
POSSIBLE = 3


def hard_cells(seed: int) -> list[Cell]:
    """Cells crowded about the thresholds, where every rule of hiding is needed."""
    rng = np.random.default_rng(seed)
    cells: list[Cell] = []
    for position, (hospital, *_) in enumerate(HOSPITALS):
        for month in MONTHS:
            near = position % 2 == 0
            admitted = int(rng.choice([0, rng.integers(1, 11), rng.integers(9, 14), 25]))
            anyhow = admitted + int(rng.choice([0, rng.integers(1, 11), rng.integers(11, 30)]))
            parts = [
                int(rng.choice([0, 0, rng.integers(1, 11), rng.integers(11, 16)])) for _ in PARTS
            ]
            index = max(anyhow, sum(parts)) + int(rng.choice([3, 8, 40, 400]) if near else 400)
            visits = index + int(rng.choice([0, 4, 90]) if near else 150)
            values = [admitted, anyhow, sum(parts), *parts]
            for code, value in zip([HEADLINE, ANY_RETURN, SENTINEL, *PARTS], values, strict=True):
                cells.append(Cell(hospital, month, code, value, index, visits))
    return cells


def build_published(home: Path) -> None:
    """Let dbt write the published models over the marts of the small warehouse."""
    (home / "restricted" / "spill").mkdir(parents=True)
    selected = ["ed_return_measures", "ed_diagnosis_groups"]
    selected += ["path:models/intermediate/publication", "path:models/published"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "dbt.cli.main",
            "build",
            "--select",
            *selected,
            "--vars",
            '{"allow_empty_lake": true}',
            "--exclude",
            "test_type:unit",
            "test_type:singular",
        ],
        cwd=PROJECT_ROOT,
        env=os.environ
        | {
            "SCUTARI_HOME": str(home),
            "DBT_PROFILES_DIR": str(PROJECT_ROOT),
            "DBT_TARGET_PATH": str(home / "target"),
            "DBT_LOG_PATH": str(home / "logs"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]


@dataclass
class Attacker:
    """Intervals of unknown whole numbers under sums and inequalities."""

    low: dict[Any, float] = field(default_factory=lambda: defaultdict(float))
    high: dict[Any, float] = field(default_factory=lambda: defaultdict(lambda: math.inf))
    sums: list[tuple[Any, list[Any]]] = field(default_factory=list)

    def know(self, name: Any, low: float, high: float) -> None:
        self.low[name], self.high[name] = max(low, self.low[name]), min(high, self.high[name])

    def solve(self) -> None:
        """Narrow every interval until nothing moves."""
        is_moving = True
        while is_moving:
            is_moving = any([self._narrow(whole, parts) for whole, parts in self.sums])

    def _narrow(self, whole: Any, parts: list[Any]) -> bool:
        before = [(self.low[name], self.high[name]) for name in (whole, *parts)]
        self.know(whole, sum(self.low[p] for p in parts), sum(self.high[p] for p in parts))
        for part in parts:
            others = [name for name in parts if name != part]
            self.know(
                part,
                self.low[whole] - sum(self.high[name] for name in others),
                self.high[whole] - sum(self.low[name] for name in others),
            )
        return before != [(self.low[name], self.high[name]) for name in (whole, *parts)]


def rows(con: duckdb.DuckDBPyConnection, sql: str) -> Iterable[tuple[Any, ...]]:
    return con.execute(sql).fetchall()


def attack(con: duckdb.DuckDBPyConnection, truth: dict[Any, int]) -> Attacker:
    """Learn all that the published tables say."""
    attacker = Attacker()
    months: dict[Any, list[Any]] = defaultdict(list)
    everywhere = []
    for hospital, month, code, shown, index in rows(
        con,
        "select hospital_key, month_on, measure_code, numerator_count, index_visits_count "
        "from published.rpt_ed_returns_monthly",
    ):
        name = (hospital, month, code)
        half = f"half-year of {month.replace(month=1 if month.month <= 6 else 7)}"
        months[(hospital, half, code)].append(name)
        if code == HEADLINE:
            everywhere.append(name)
        if shown is not None:
            attacker.know(name, shown, shown)
        elif 1 <= truth[name] <= 10:
            attacker.know(name, 1, 10)
        if index is not None:
            attacker.know(name, 0, index)
    for total, names in months.items():
        attacker.sums.append((total, names))
    for hospital, half, code, shown in rows(
        con,
        "select hospital_key, period_on, measure_code, numerator_count "
        "from published.rpt_ed_returns_half_yearly where numerator_count is not null",
    ):
        attacker.know((hospital, f"half-year of {half}", code), shown, shown)
    for hospital, period in {(name[0], name[1]) for name in [*truth, *months]}:
        whole = (hospital, period, SENTINEL)
        attacker.sums.append((whole, [(hospital, period, part) for part in PARTS]))
        rest = (hospital, period, "not admitted")
        attacker.sums.append(((hospital, period, ANY_RETURN), [(hospital, period, HEADLINE), rest]))
    for (shown,) in rows(
        con,
        "select registrations_count from published.rpt_ed_returns_attrition "
        "where step_code = 'numerator' and registrations_count is not null",
    ):
        attacker.know("numerator", shown - 9, shown)
        attacker.sums.append(("numerator", everywhere))
    attacker.solve()
    return attacker


@pytest.mark.parametrize("seed", [1])
def test_no_small_count_can_be_derived_from_what_is_published(tmp_path: Path, seed: int) -> None:
    cells = hard_cells(seed)
    truth = {(c.hospital_key, c.month_on, c.measure_code): c.numerator for c in cells}
    build_small_warehouse(tmp_path, cells=cells)
    build_published(tmp_path)
    with duckdb.connect(str(tmp_path / "warehouse.duckdb"), read_only=True) as con:
        attacker = attack(con, truth)
        shown = rows(
            con,
            "select numerator_count, count(*) from published.rpt_ed_returns_monthly "
            "where numerator_count is not null group by numerator_count",
        )
        totals = rows(
            con,
            "select count(*) from published.rpt_ed_returns_half_yearly "
            "where numerator_count is not null",
        )
    small = {name: value for name, value in truth.items() if 1 <= value <= 10}
    assert len(small) > 100
    for name, value in small.items():
        low, high = attacker.low[name], attacker.high[name]
        assert low <= value <= high, "the attacker's own reasoning is wrong"
        assert high - low + 1 >= POSSIBLE, f"a hidden {value} of {name[2]} is {low} to {high}"
    # Differences of a whole and its part are counts of people too.
    rest = [name for name in attacker.low if name[2:] == ("not admitted",)]
    derived = [name for name in rest if attacker.low[name] == attacker.high[name]]
    assert not [name for name in derived if 1 <= attacker.low[name] <= 10]
    # Hiding everything would pass too: zeros and large counts must be there, and some half-years.
    counts = dict(shown)
    assert counts[0] > 20
    assert sum(number for value, number in counts.items() if value > 10) > 20
    assert next(iter(totals))[0] > 3


def test_the_attacker_finds_what_is_not_hidden_well() -> None:
    # One hidden month beside a shown sum: 30 - 20 = 10.
    attacker = Attacker()
    attacker.know("half", 30, 30)
    attacker.know("january", 20, 20)
    attacker.know("february", 1, 10)
    attacker.sums.append(("half", ["january", "february"]))
    attacker.solve()
    assert (attacker.low["february"], attacker.high["february"]) == (10, 10)
