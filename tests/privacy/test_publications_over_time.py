"""An attacker who has kept every publication against what changed between them.

Late registrations, corrections, erased persons and merged records change the counts of closed
months. The attacker has all figures of all publications, knows the rules of hiding and of freezing
and which build each figure comes from, and asks an integer programme not only for the hidden counts
but for every small change: of a count, of what a count leaves of another, of one measure within
another. Three values must stay possible for each.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from ops.frozen_cells import FROZEN, OPEN, Figures, freeze, half_year_of, latest_closed
from ops.publish_history import may_revise
from tests.helpers.small_warehouse import ANY_RETURN, HEADLINE, Cell, build_small_warehouse
from tests.privacy.test_published_intervals import (
    COUNTS,
    PARTS,
    POSSIBLE,
    SENTINEL,
    Attacker,
    build_published,
)

pytestmark = pytest.mark.integration

MONTHS = [dt.date(2023 + month // 12, month % 12 + 1, 1) for month in range(6, 18)]
HOSPITALS = ("north", "south", "east", "west", "upper", "lower")
# Data of each publication are complete to: a half-year is closed before the second and the fourth.
THROUGH = [dt.datetime(*day) for day in ((2023, 12, 20), (2024, 1, 15), (2024, 3, 20), (2024, 7, 15))]
Name = tuple[Any, ...]
Publication = tuple[list[Figures], list[Figures]]


def worlds(seed: int) -> list[list[Cell]]:
    """The counts behind each publication: most change a little, some by a whole late batch."""
    rng = np.random.default_rng(seed)
    counts = {
        (hospital, month): _first_counts(rng, hard=at < 4)
        for at, hospital in enumerate(HOSPITALS)
        for month in MONTHS
    }
    found = []
    for _ in THROUGH:
        found.append([cell for place, of in counts.items() for cell in _cells(*place, of)])
        for place in counts:
            counts[place] = _corrected(rng, counts[place], late=place[0] in ("upper", "lower"))
    return found


def _first_counts(rng: np.random.Generator, *, hard: bool) -> list[int]:
    admitted = int(rng.choice([0, rng.integers(1, 11), rng.integers(11, 14), 25])) if hard else 60
    anyhow = admitted + int(rng.choice([0, rng.integers(1, 11), 30]) if hard else 90)
    parts = [int(rng.choice([0, rng.integers(1, 11), rng.integers(11, 16)])) for _ in PARTS]
    index = max(anyhow, sum(parts)) + 400
    return [admitted, anyhow, *parts, index, index + 150]


def _corrected(rng: np.random.Generator, counts: list[int], *, late: bool) -> list[int]:
    if rng.random() < 0.6:
        return counts
    admitted, anyhow, *parts, index, visits = counts
    if late:
        # A whole feed's worth: more visits, and perhaps more returns, or a few beside them.
        more, few = int(rng.integers(12, 30)), int(rng.choice([0, 0, 2]))
        return [admitted + few, anyhow + few, *parts, index + more, visits + 3 * more]
    few = int(rng.choice([-2, -1, 1, 2, 5]))
    if admitted + few < 0 or rng.random() < 0.3:
        return [admitted, anyhow, *parts, index + abs(few), visits + abs(few)]
    return [admitted + few, anyhow + few, *parts, index + few, visits + few]


def _cells(hospital: str, month: dt.date, counts: list[int]) -> Iterator[Cell]:
    admitted, anyhow, *parts, index, visits = counts
    values = [admitted, anyhow, sum(parts), *parts]
    for code, value in zip([HEADLINE, ANY_RETURN, SENTINEL, *PARTS], values, strict=True):
        yield Cell(hospital, month, code, value, index, visits)


def protected(home: Path, found: list[list[Cell]]) -> list[Publication]:
    """Let the dbt models protect every world; one build takes them for hospitals of their own."""
    cells = [
        replace(cell, hospital_key=f"{cell.hospital_key}-{at}")
        for at, world in enumerate(found)
        for cell in world
    ]
    path = build_small_warehouse(home, cells=cells)
    with duckdb.connect(str(path)) as con:
        for at, through in enumerate(THROUGH):
            con.execute(
                "update marts.rpt_ed_returns_monthly set data_through_at = $1 "
                "where hospital_key like $2",
                [through, f"%-{at}"],
            )
            con.execute(
                "delete from marts.rpt_ed_returns_monthly "
                "where month_on > data_through_at and hospital_key like $1",
                [f"%-{at}"],
            )
        con.execute(
            "insert into core.dim_hospitals (hospital_key, hospital_name) "
            "select distinct hospital_key, hospital_key from marts.rpt_ed_returns_monthly"
        )
    build_published(home)
    with duckdb.connect(str(path), read_only=True) as con:
        return [
            (_rows(con, "monthly", "month_on", at), _rows(con, "half_yearly", "period_on", at))
            for at in range(len(THROUGH))
        ]


def _rows(con: duckdb.DuckDBPyConnection, table: str, period: str, at: int) -> list[Figures]:
    rows = con.execute(
        f"select split_part(hospital_key, '-', 1), {period}, measure_code, numerator_count, "
        "index_visits_count, all_visits_count, suppression_code, data_through_at, 'same' "
        f"from published.rpt_ed_returns_{table} where hospital_key like $1",
        [f"%-{at}"],
    ).fetchall()
    return [Figures(*row) for row in rows]


def published(builds: list[Publication]) -> list[Publication]:
    """What readers see, one publication after the other."""
    past: tuple[list[Figures], list[Figures]] = ([], [])
    seen = []
    for at, (months, halves) in enumerate(builds):
        shown = freeze(months, halves, *past, may_revise=may_revise(halves, *past))
        for rows, new in zip(past, (shown.new_months, shown.new_half_years), strict=True):
            rows += [replace(row, published_at=THROUGH[at]) for row in new]
        seen.append((shown.months, shown.half_years))
    return seen


class Reader:
    """Reads every publication, and knows which build stands behind each figure."""

    def __init__(self, truths: list[dict[Name, int]]) -> None:
        self.attacker = Attacker()
        self.truths = truths
        self.seen: dict[Name, int] = {}  # (build, kind, hospital, period, measure, count) -> truth

    def read(self, months: list[Figures], halves: list[Figures]) -> None:
        """Learn all that one publication says."""
        built: dict[tuple[str, dt.date], int] = {}
        for half in _blocks(halves):
            if not any(row.suppression_code in (OPEN, FROZEN) for row in half):
                through = {row.data_through_at for row in half}
                place = half[0].hospital_key, half[0].period_on
                # What was summed from frozen months bears their time: it says nothing new.
                if len(through) == 1 and latest_closed(half) == place[1]:
                    at = THROUGH.index(through.pop())
                    if place[1] < half_year_of(THROUGH[at].date()):
                        built[place] = at
                        self._cell("half", half, at)
        sums: dict[Name, list[Name]] = {}
        for month in _blocks(months):
            if any(row.suppression_code == OPEN for row in month):
                continue
            hospital, at_month = month[0].hospital_key, month[0].period_on
            place = hospital, half_year_of(at_month)
            at = built.get(place, THROUGH.index(month[0].data_through_at))
            for name in self._cell("month", month, at):
                if place in built:
                    whole = (at, "half", hospital, place[1], *name[4:])
                    sums.setdefault(whole, []).append(name)
        for whole, parts in sums.items():
            self.attacker.add_up(whole, parts)

    def _cell(self, kind: str, block: list[Figures], at: int) -> list[Name]:
        names = []
        head = (at, kind, block[0].hospital_key, block[0].period_on)
        for row in block:
            of_row = [(*head, row.measure_code, count) for count in COUNTS]
            for name, value in zip(of_row, row.counts, strict=True):
                self._learn(name, value)
            for part, whole in (of_row[:2], of_row[1:]):
                self.attacker.contain(whole, part)
            names += of_row
        parts = [(*head, part, "numerator") for part in PARTS]
        self.attacker.add_up((*head, SENTINEL, "numerator"), parts)
        self.attacker.contain(
            (*head, ANY_RETURN, "numerator"), (*head, HEADLINE, "numerator")
        )
        for one, other in ((HEADLINE, ANY_RETURN), *((SENTINEL, part) for part in PARTS)):
            for count in COUNTS[1:]:
                self.attacker.add_up((*head, one, count), [(*head, other, count)])
        return names

    def _learn(self, name: Name, value: int | None) -> None:
        true = self.truths[name[0]][name[1:]]
        self.seen[name] = true
        if value is not None:
            self.attacker.know(name, value, value)
        elif 1 <= true <= 10:
            self.attacker.know(name, 1, 10)

    def secrets(self) -> Iterator[tuple[dict[Name, int], int]]:
        """Sums of what is behind the figures that are 1 to 10, and what they are."""
        for terms in self._counts_and_differences():
            value = sum(sign * self.seen[name] for name, sign in terms.items())
            if 1 <= abs(value) <= 10:
                yield terms, value
        for name in self.seen:
            for later in range(name[0] + 1, len(THROUGH)):
                if (later, *name[1:]) in self.seen:
                    yield from self._changes(name, later)

    def _counts_and_differences(self) -> Iterator[dict[Name, int]]:
        for name in self.seen:
            yield {name: 1}
            yield from ({whole: 1, name: -1} for whole in _wholes(name))

    def _changes(self, name: Name, later: int) -> Iterator[tuple[dict[Name, int], int]]:
        change = {(later, *name[1:]): 1, name: -1}
        found = [change]
        for whole in _wholes(name):
            if (later, *whole[1:]) in self.seen:
                found.append({(later, *whole[1:]): 1, whole: -1} | {n: -s for n, s in change.items()})
        for terms in found:
            value = sum(sign * self.seen[term] for term, sign in terms.items())
            if 1 <= abs(value) <= 10:
                yield terms, value


def _wholes(name: Name) -> list[Name]:
    *cell, code, count = name
    wholes = [(*cell, code, other) for other in COUNTS[COUNTS.index(count) + 1 :]]
    if (code, count) == (HEADLINE, "numerator"):
        wholes.append((*cell, ANY_RETURN, count))
    return wholes


def _blocks(rows: list[Figures]) -> list[list[Figures]]:
    blocks: dict[tuple[str, dt.date], list[Figures]] = {}
    for row in rows:
        blocks.setdefault((row.hospital_key, row.period_on), []).append(row)
    return list(blocks.values())


def truths_of(found: list[list[Cell]]) -> list[dict[Name, int]]:
    """The counts of every month and half-year of every world."""
    truths = []
    for world in found:
        truth: dict[Name, int] = {}
        for c in world:
            values = zip(COUNTS, (c.numerator, c.index_visits, c.all_visits), strict=True)
            for count, value in values:
                truth["month", c.hospital_key, c.month_on, c.measure_code, count] = value
                half = ("half", c.hospital_key, half_year_of(c.month_on), c.measure_code, count)
                truth[half] = truth.get(half, 0) + value
        truths.append(truth)
    return truths


def derived(reader: Reader) -> tuple[list[str], int, int]:
    """What comes out; how many small counts and how many small changes were asked for."""
    found, counts, changes = [], 0, 0
    for terms, value in reader.secrets():
        is_change = len({name[0] for name in terms}) > 1
        counts, changes = counts + (not is_change), changes + is_change
        low, high = reader.attacker.interval(terms)
        assert low <= value <= high, "the attacker's own reasoning is wrong"
        if high - low + 1 < POSSIBLE:
            found.append(f"{value} is {low} to {high}: {terms}")
    return found, counts, changes


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], list[Publication]]:
    found = worlds(4)
    return truths_of(found), protected(tmp_path_factory.mktemp("worlds"), found)


def test_no_small_change_can_be_derived_from_all_publications(
    builds: tuple[list[Any], list[Publication]],
) -> None:
    truths, of_builds = builds
    reader = Reader(truths)
    seen = published(of_builds)
    for publication in seen:
        reader.read(*publication)
    found, counts, changes = derived(reader)
    assert found == []
    assert counts > 100
    # Freezing everything for ever would pass too: late batches must have come through.
    assert changes > 5
    before = {(row.hospital_key, row.period_on): row.data_through_at for row in seen[2][0]}
    revised = {
        (row.hospital_key, row.period_on)
        for row in seen[3][0]
        if row.numerator is not None and row.data_through_at == THROUGH[3]
    }
    assert len([place for place in revised if before.get(place, THROUGH[3]) < THROUGH[2]]) > 5


def test_without_freezing_the_same_reader_finds_small_changes(
    builds: tuple[list[Any], list[Publication]],
) -> None:
    truths, of_builds = builds
    reader = Reader(truths)
    for publication in of_builds:
        reader.read(*publication)
    found, _, changes = derived(reader)
    assert changes > 50
    assert len(found) > 50
