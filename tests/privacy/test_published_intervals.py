"""An attacker with all the published tables against the counts they hide.

The attacker knows the rules: that hidden counts of 1 to 10 are 1 to 10, that sentinel returns are
the sum of their three parts, that admitted returns are among all returns, that no numerator is
greater than its index visits and these than all visits, that half-years are sums of months and the
network's attrition a sum over hospitals. All of it together is one integer programme; the least and
the greatest value that each hidden count can have are its solutions. No small count may come out,
nor nearly: three values must stay possible.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from tests.helpers.dbt import run_dbt
from tests.helpers.small_snapshot import write_empty_snapshot
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
    selected = ["ed_return_measures", "ed_diagnosis_groups", "ed_disposition_rules"]
    selected += ["ed_return_rules", "ed_standard_strata", "ed_admission_type_rules"]
    selected += ["path:models/intermediate/publication", "path:models/published"]
    write_empty_snapshot(home, "s1")
    arguments = ["build", "--select", *selected]
    # Tests that need other seeds or the marts behind, of which nothing here is asked.
    arguments += ["--exclude", "test_type:unit", "test_type:singular", "ed_review_rules"]
    arguments += ["relationships_ed_disposition_rules_*", "rpt_ed_returns_by_stratum"]
    arguments += ["relationships_ed_admission_type_rules_*"]
    done = run_dbt(home, home / "target", *arguments)
    assert done.exit_code == 0, done.output[-3000:]


@dataclass
class Group:
    """Numbers that say something about each other, and the sums that must be at least so much."""

    names: list[Any]
    constraints: list[LinearConstraint]
    bounds: Bounds


class Attacker:
    """Whole numbers that are not known, and all that is known about them."""

    MUCH = 10_000_000.0
    # A sum of more unknown numbers, known to the nearest ten only, says nothing about one of them.
    MANY = 40

    def __init__(self) -> None:
        self._low: dict[Any, float] = {}
        self._high: dict[Any, float] = {}
        self._rows: list[dict[Any, float]] = []  # terms that add up to at least nothing
        self._groups: dict[Any, Group] = {}

    def know(self, name: Any, low: float, high: float) -> None:
        """A number lies between two others."""
        self._groups.clear()
        self._low[name] = max(low, self._low.get(name, 0.0))
        self._high[name] = min(high, self._high.get(name, self.MUCH))

    def add_up(self, whole: Any, parts: Iterable[Any]) -> None:
        """A number is the sum of others."""
        terms = dict.fromkeys(parts, 1.0) | {whole: -1.0}
        self._state(terms)
        self._state({name: -sign for name, sign in terms.items()})

    def contain(self, whole: Any, part: Any) -> None:
        """A number is at least another."""
        self._state({whole: 1.0, part: -1.0})

    def _state(self, terms: dict[Any, float]) -> None:
        for name in terms:
            self.know(name, 0.0, self.MUCH)
        self._rows.append(terms)

    def interval(self, terms: Mapping[Any, float]) -> tuple[int, int]:
        """The least and the greatest that a sum of numbers can be."""
        if not self._groups:
            self._find_groups()
        low = high = sum(sign * self._low[n] for n, sign in terms.items() if self._is_known(n))
        unknown = {n: sign for n, sign in terms.items() if not self._is_known(n)}
        groups = {id(self._groups[name]): self._groups[name] for name in unknown}
        for group in groups.values():
            wanted = np.array([unknown.get(name, 0.0) for name in group.names])
            low += self._least(group, wanted)
            high -= self._least(group, -wanted)
        return round(low), round(high)

    def _least(self, group: Group, wanted: npt.NDArray[np.float64]) -> float:
        solution = milp(
            wanted,
            integrality=np.ones(len(wanted)),
            bounds=group.bounds,
            constraints=group.constraints,
        )
        assert solution.success, "the attacker's own reasoning is wrong"
        return float(solution.fun)

    def _is_known(self, name: Any) -> bool:
        return self._low[name] == self._high[name]

    def _find_groups(self) -> None:
        unknown = [name for name in self._low if not self._is_known(name)]
        leader = {name: name for name in unknown}

        def first(name: Any) -> Any:
            while leader[name] != name:
                name = leader[name]
            return name

        open_rows: list[tuple[dict[Any, float], float]] = []
        for terms in self._rows:
            rest = {name: sign for name, sign in terms.items() if name in leader}
            known = sum(sign * self._low[n] for n, sign in terms.items() if n not in leader)
            if not rest:
                assert known >= 0, "the attacker's own reasoning is wrong"
            elif len(rest) <= self.MANY:
                open_rows.append((rest, -known))
                for name in rest:
                    leader[first(name)] = first(next(iter(rest)))
        members: dict[Any, list[Any]] = defaultdict(list)
        for name in unknown:
            members[first(name)].append(name)
        sums: dict[Any, list[tuple[dict[Any, float], float]]] = defaultdict(list)
        for row in open_rows:
            sums[first(next(iter(row[0])))].append(row)
        for head, names in members.items():
            places = {name: place for place, name in enumerate(names)}
            matrix = np.zeros((len(sums[head]), len(names)))
            for at, (terms, _) in enumerate(sums[head]):
                for name, sign in terms.items():
                    matrix[at, places[name]] = sign
            least = np.array([bound for _, bound in sums[head]])
            group = Group(
                names,
                [LinearConstraint(csr_array(matrix), least, np.inf)] if len(least) else [],
                Bounds(
                    np.array([self._low[name] for name in names]),
                    np.array([self._high[name] for name in names]),
                ),
            )
            self._groups |= dict.fromkeys(names, group)


def rows(con: duckdb.DuckDBPyConnection, sql: str) -> Iterable[tuple[Any, ...]]:
    return con.execute(sql).fetchall()


COUNTS = ("numerator", "index", "all")
PERIODS = {
    "rpt_ed_returns_monthly": "month_on",
    "rpt_ed_returns_half_yearly": "period_on",
}


def half_year(month: Any) -> Any:
    return month.replace(month=1 if month.month <= 6 else 7)


def attack(con: duckdb.DuckDBPyConnection, truth: dict[Any, int]) -> Attacker:
    """Learn all that the published tables say."""
    attacker = Attacker()
    _read_cells(con, attacker, truth)
    _know_the_measures(attacker, truth)
    for step, count in (("numerator", "numerator"), ("followed_index_visits", "index")):
        for (shown,) in rows(
            con,
            "select registrations_count from published.rpt_ed_returns_attrition "
            f"where step_code = '{step}' and registrations_count is not null",
        ):
            attacker.know(step, shown - 9, shown)
            attacker.add_up(step, [n for n in truth if n[3] == HEADLINE and n[4] == count])
    return attacker


def _read_cells(con: duckdb.DuckDBPyConnection, attacker: Attacker, truth: dict[Any, int]) -> None:
    for table, period in PERIODS.items():
        for hospital, at, code, *shown in rows(
            con,
            f"select hospital_key, {period}, measure_code, numerator_count, index_visits_count, "
            f"all_visits_count from published.{table}",
        ):
            names = [(table, hospital, at, code, count) for count in COUNTS]
            for name, value in zip(names, shown, strict=True):
                if value is not None:
                    attacker.know(name, value, value)
                elif 1 <= truth.get(name, 0) <= 10:
                    attacker.know(name, 1, 10)
            for part, whole in (names[:2], names[1:]):
                attacker.contain(whole, part)


def _know_the_measures(attacker: Attacker, truth: dict[Any, int]) -> None:
    """What everybody knows who has read the definitions."""
    months: dict[Any, list[Any]] = defaultdict(list)
    for name in truth:
        _, hospital, month, code, count = name
        half = ("rpt_ed_returns_half_yearly", hospital, half_year(month), code, count)
        months[half].append(name)
    for half, names in months.items():
        attacker.add_up(half, names)
    for table, hospital, at, *_ in {name[:3] for name in [*truth, *months]}:
        cell = (table, hospital, at)
        parts = [(*cell, part, "numerator") for part in PARTS]
        attacker.add_up((*cell, SENTINEL, "numerator"), parts)
        attacker.contain((*cell, ANY_RETURN, "numerator"), (*cell, HEADLINE, "numerator"))
        # Measures of one window have the same denominators.
        for one, other in ((HEADLINE, ANY_RETURN), *((SENTINEL, part) for part in PARTS)):
            for count in COUNTS[1:]:
                attacker.add_up((*cell, one, count), [(*cell, other, count)])


def small_differences(truth: dict[Any, int]) -> list[tuple[Any, Any, int]]:
    """Two counts of one cell, or of a whole and its part, that differ by 1 to 10."""
    found = []
    for name, value in truth.items():
        *cell, code, count = name
        nested = [(*cell, code, other) for other in COUNTS[COUNTS.index(count) + 1 :]]
        if code == HEADLINE and count == "numerator":
            nested.append((*cell, ANY_RETURN, count))
        found += [
            (whole, name, truth[whole] - value)
            for whole in nested
            if 1 <= truth[whole] - value <= 10
        ]
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_small_count_can_be_derived_from_what_is_published(tmp_path: Path, seed: int) -> None:
    cells = hard_cells(seed)
    truth = {
        ("rpt_ed_returns_monthly", c.hospital_key, c.month_on, c.measure_code, count): value
        for c in cells
        for count, value in zip(COUNTS, (c.numerator, c.index_visits, c.all_visits), strict=True)
    }
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
        low, high = attacker.interval({name: 1})
        assert low <= value <= high, "the attacker's own reasoning is wrong"
        assert high - low + 1 >= POSSIBLE, f"a hidden {value} of {name[3:]} is {low} to {high}"
    differences = small_differences(truth)
    assert len(differences) > 100
    for whole, part, value in differences:
        low, high = attacker.interval({whole: 1, part: -1})
        assert low <= value <= high, "the attacker's own reasoning is wrong"
        assert high - low + 1 >= POSSIBLE, f"{whole[3:]} less {part[3:]} is {low} to {high}"
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
    attacker.add_up("half", ["january", "february"])
    assert attacker.interval({"february": 1}) == (10, 10)
    assert attacker.interval({"half": 1, "january": -1}) == (10, 10)


def test_the_attacker_knows_that_counts_are_whole() -> None:
    """Twice one hidden count and another make 5, so the other is odd; intervals say 1 to 3."""
    attacker = Attacker()
    attacker.know("one", 1, 10)
    attacker.know("other", 1, 10)
    attacker.know("sum", 5, 5)
    attacker.add_up("twin", ["one"])
    attacker.add_up("sum", ["one", "twin", "other"])
    assert attacker.interval({"other": 1}) == (1, 3)
    attacker.know("other", 2, 10)
    assert attacker.interval({"other": 1}) == (3, 3)
