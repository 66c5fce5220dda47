"""A changing hospital network: the counts behind four publications, protected by the dbt models."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from ops.publication.frozen_cells import Figures, half_year_of
from tests.helpers.small_warehouse import ANY_RETURN, HEADLINE, Cell, build_small_warehouse
from tests.privacy.hard_claims import write_hard_claims
from tests.privacy.test_published_intervals import COUNTS, PARTS, SENTINEL, build_published

MONTHS = [dt.date(2023 + month // 12, month % 12 + 1, 1) for month in range(6, 18)]
HOSPITALS = ("north", "south", "east", "west", "upper", "middle", "lower")
LATE = ("upper", "middle", "lower")  # Where whole batches come late.
# Data of each publication are complete to: a half-year is closed before the second and the fourth.
THROUGH = [
    dt.datetime(*day) for day in ((2023, 12, 20), (2024, 1, 15), (2024, 3, 20), (2024, 7, 15))
]
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
        counts = {place: _corrected(rng, of, place[0]) for place, of in counts.items()}
    return found


def _first_counts(rng: np.random.Generator, *, hard: bool) -> list[int]:
    admitted = int(rng.choice([0, rng.integers(1, 11), rng.integers(11, 14), 25])) if hard else 60
    anyhow = admitted + int(rng.choice([0, rng.integers(1, 11), 30]) if hard else 90)
    parts = [int(rng.choice([0, rng.integers(1, 11), rng.integers(11, 16)])) for _ in PARTS]
    index = max(anyhow, sum(parts)) + 400
    return [admitted, anyhow, *parts, index, index + 150]


def _corrected(rng: np.random.Generator, counts: list[int], hospital: str) -> list[int]:
    if rng.random() < 0.6:
        return counts
    admitted, anyhow, *parts, index, visits = counts
    if hospital in LATE:
        # Many visits, and among them a few of those that are hidden; at one also a few returns.
        more, few = int(rng.integers(12, 30)), 2 * int(hospital == "lower")
        parts = [part + int(rng.choice([0, 1, 2])) if 1 <= part <= 8 else part for part in parts]
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
        write_hard_claims(con)
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


@dataclass(frozen=True)
class Worlds:
    """One warehouse with every world in it.

    Attributes:
        warehouse: the file.
        truths: the counts of each world.
        builds: the protected months and half-years of each.
    """

    warehouse: Path
    truths: list[dict[Name, int]]
    builds: list[Publication]


def make_worlds(home: Path) -> Worlds:
    """Draw the worlds and let dbt protect them."""
    found = worlds(4)
    builds = protected(home, found)
    return Worlds(home / "warehouse.duckdb", truths_of(found), builds)
