"""Matching in tests: registrations as plain rows, in memory, without a vault."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl

from demo.billing_tables import FIRST_MEMBER, Book
from demo.ehr_tables import patients_chunks
from demo.plans import default_plan
from demo.world import FIRST_PATIENT, build_world
from extract.identity.matching.decisions import Standing
from extract.identity.matching.grouping import REVIEW_FILE, Figures, group_registrations
from extract.identity.matching.standard import RAW_COLUMNS
from governance.settings import MatchingMethod

NAMES = [part.split()[0] for part in RAW_COLUMNS.split(", ")]
# One woman as most of her registrations have her; a test says what is different.
MARGARET: dict[str, Any] = {
    "source_name": "ehr",
    "is_unidentified": False,
    "health_number": "4417-902-355",
    "birth_date": "1971-03-08",
    "first_name": "Margaret",
    "last_name": "Abernathy",
    "phone": "(518) 331-7702",
    "address": "118 Willow Street",
    "postal_code": "12208",
}
NOTHING_DECIDED = Standing()


@dataclass(frozen=True)
class Found:
    """What matching made of the rows: a group for each id, the review list, the figures."""

    groups: dict[str, int | None]
    methods: dict[str, str]
    review: list[dict[str, str]]
    figures: Figures

    def are_one(self, *ids: str) -> bool:
        """Whether these registrations are one person."""
        groups = {self.groups[name] for name in ids}
        return len(groups) == 1 and None not in groups

    @property
    def to_review(self) -> set[frozenset[str]]:
        """The pairs on the review list."""
        return {
            frozenset((r["registration_key"][1:], r["other_registration_key"][1:]))
            for r in self.review
        }


def run(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    *,
    standing: Standing = NOTHING_DECIDED,
    method: MatchingMethod = "probabilistic",
) -> Found:
    """Match rows; each has a ``registration_id``, and its token is t + id."""
    values = [
        [{"registration_key": f"t{r['registration_id']}", **r}.get(n) for n in NAMES] for r in rows
    ]
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"create temp table registrations ({RAW_COLUMNS})")
        if values:
            frame = pl.DataFrame(values, schema=NAMES, orient="row", infer_schema_length=None)
            connection.register("frame", frame.to_arrow())
            connection.execute(
                "insert into registrations select "
                + ", ".join(f"{n}::date" if n == "birth_date" else n for n in NAMES)
                + " from frame"
            )
        figures = group_registrations(
            connection, method=method, standing=standing, review=folder / "review"
        )
        found = connection.execute(
            "select registration_id, group_key, link_method_code from grouped"
        ).fetchall()
    with (folder / "review" / REVIEW_FILE).open(encoding="utf-8") as file:
        review = list(csv.DictReader(file))
    return Found(
        {name: group for name, group, _ in found},
        {name: method for name, _, method in found},
        review,
        figures,
    )


def match(folder: Path, *changes: Mapping[str, Any], **more: Any) -> Found:
    """Match Margaret's registrations, one for each set of changes, named a, b, c and so on."""
    rows = [
        {**MARGARET, "registration_id": chr(ord("a") + place), **change}
        for place, change in enumerate(changes)
    ]
    return run(folder, rows, **more)


def planted(visits: int, seed: int) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Return the registrations of a planted network, and the true person of each.

    Nothing of the demo's files is read: the rows are those that it would write.
    """
    world = build_world(default_plan(visits), seed)
    count = len(world.registrations)
    frames = [pl.DataFrame(part.drop_columns("_zone")) for part in patients_chunks(world)]
    patients = pl.concat(frames).head(count)
    book = Book(world)
    members = pl.DataFrame(book._members(np.arange(len(book.members))).drop_columns("_zone"))
    rows = [
        {
            "source_name": "ehr",
            "registration_id": f"p{row['patient_id']}",
            "is_unidentified": row["identity_status_code"] == "unidentified",
            "address": row["address_line"],
            **{name: row[name] for name in NAMES if name in row},
        }
        for row in patients.iter_rows(named=True)
    ]
    rows += [
        {
            "source_name": "billing",
            "registration_id": f"m{row['member_id']}",
            "is_unidentified": False,
            **{name: row[name] for name in NAMES if name in row},
        }
        for row in members.iter_rows(named=True)
    ]
    registrations = world.registrations
    truth = {
        f"p{FIRST_PATIENT + place}": int(person)
        for place, person in enumerate(registrations.person)
        if not registrations.is_unidentified[place]
    }
    truth |= {f"m{FIRST_MEMBER + n}": int(p) for n, p in enumerate(book.members.person)}
    return rows, truth
