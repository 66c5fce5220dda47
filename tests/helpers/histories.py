"""The worked histories (tests/histories) as frames and as operational rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from tests.oracle.ed_returns import PERSON_SCHEMA, REGISTRATION_SCHEMA

HISTORIES = Path(__file__).resolve().parent.parent / "histories"
SPECIFICATION = "ed_return_histories"
BOUNDARIES = "ed_return_boundaries"


@dataclass(frozen=True)
class Expected:
    """The right answer of one history for the headline measure."""

    example: int
    data_through: datetime
    numerator: int
    index_visits: int
    all_visits: int
    attributed_visit: str | None
    why: str
    died_on: date | None
    admitted_directly_on: date | None


def load_visits(table: str = SPECIFICATION) -> pl.DataFrame:
    """One row per registration, text as written; ``is_planned`` boolean."""
    frame = pl.read_csv(HISTORIES / f"{table}.csv", infer_schema=False)
    if "decided_local" not in frame.columns:
        frame = frame.with_columns(decided_local=pl.lit(None, dtype=pl.String))
    return frame.with_columns(
        pl.col("example").cast(pl.Int64), pl.col("is_planned").str.to_lowercase() == "true"
    )


def load_expected(table: str = SPECIFICATION) -> list[Expected]:
    """The answers, ``other_facts`` taken apart; an unknown fact is an error, not a shrug."""
    frame = pl.read_csv(HISTORIES / f"{table}_expected.csv", infer_schema=False)
    return [_expected(row) for row in frame.iter_rows(named=True)]


def load_steps() -> pl.DataFrame:
    """The way to each answer, derived by hand: leg, stay, return and time elapsed of each visit."""
    return pl.read_csv(HISTORIES / "ed_return_steps.csv", infer_schema=False)


def _expected(row: dict[str, str | None]) -> Expected:
    text = row["other_facts"] or ""
    died = re.fullmatch(r"died at home (\S+)", text)
    direct = re.fullmatch(r"direct inpatient admission (\S+) without an ED visit", text)
    if text and not (died or direct or text == "return still open at the snapshot"):
        raise ValueError(f"History {row['example']}: other_facts says something unknown.")
    return Expected(
        example=int(row["example"] or 0),
        data_through=datetime.fromisoformat(row["data_through"] or "").replace(tzinfo=UTC),
        numerator=int(row["numerator"] or 0),
        index_visits=int(row["index_visits"] or 0),
        all_visits=int(row["all_visits"] or 0),
        attributed_visit=row["attributed_visit"],
        why=row["why"] or "",
        died_on=date.fromisoformat(died[1]) if died else None,
        admitted_directly_on=date.fromisoformat(direct[1]) if direct else None,
    )


def instant(local: str | None, zone: str) -> datetime | None:
    """A wall-clock time of one place as an instant with that place's offset.

    A time that the clock skips does not exist, and one that it shows twice is two instants:
    both are refused, so that no history rests on a guess.
    """
    if not local:
        return None
    clock = datetime.fromisoformat(local)
    early = clock.replace(tzinfo=ZoneInfo(zone), fold=0)
    late = clock.replace(tzinfo=ZoneInfo(zone), fold=1)
    if early.utcoffset() != late.utcoffset():
        raise ValueError(f"{local} in {zone} is skipped or shown twice.")
    return early


def registrations(visits: pl.DataFrame) -> pl.DataFrame:
    """The histories as the oracle's input: instants in UTC."""
    rows = [
        {
            "visit_key": row["visit"],
            "person_key": row["person"],
            "hospital_key": row["hospital"],
            "time_zone": row["time_zone"],
            "arrived_at": _utc(row["arrived_local"], row["time_zone"]),
            "departed_at": _utc(row["departed_local"], row["time_zone"]),
            "disposition_at": _utc(row["decided_local"], row["time_zone"]),
            "disposition_code": row["disposition"],
            "is_planned": row["is_planned"],
            "main_diagnosis_code": None,
        }
        for row in visits.iter_rows(named=True)
    ]
    return pl.DataFrame(rows, schema=REGISTRATION_SCHEMA)


def _utc(local: str | None, zone: str) -> datetime | None:
    value = instant(local, zone)
    return value.astimezone(UTC) if value else None


def persons(visits: pl.DataFrame, expected: Sequence[Expected]) -> pl.DataFrame:
    """One row per person, with the death that a history tells of."""
    died = {item.example: item.died_on for item in expected}
    rows = [
        {"person_key": person, "birth_on": date(1980, 1, 1), "deceased_on": died[example]}
        for example, person in visits.select("example", "person").unique().iter_rows()
        if person is not None
    ]
    return pl.DataFrame(rows, schema=PERSON_SCHEMA)
