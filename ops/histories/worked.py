"""The worked histories of ED returns: their registrations, and the answers derived by hand.

`tests/histories` holds them as tables that people write and read. `ed_return_histories.csv` and
`ed_return_boundaries.csv` are what happened, on the hospital's own clock; the `_expected` files are
the answers for the headline measure; `ed_return_steps.csv` is the way there, visit by visit.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from governance.errors import ScutariError
from governance.settings import PROJECT_ROOT

HISTORIES = PROJECT_ROOT / "tests" / "histories"
SEEDS = PROJECT_ROOT / "seeds" / "ed_returns"
TABLES = ("ed_return_histories", "ed_return_boundaries")


class HistoryError(ScutariError):
    """A worked history contradicts itself or lacks an answer."""


@dataclass(frozen=True)
class Visit:
    """One ED registration of a history: what happened (instants in UTC) and what follows."""

    key: str
    person: str | None
    hospital: str
    time_zone: str
    arrived_local: str
    departed_local: str
    arrived_at: datetime
    decided_at: datetime | None
    departed_at: datetime | None
    disposition: str | None
    is_planned: bool
    leg: str
    leaving_rank: int
    stay: str
    exclusion_reason: str | None
    may_return: bool | None
    outcome: str | None
    return_visit: str | None
    elapsed_seconds: int | None

    @property
    def is_departure_known(self) -> bool:
        """A departure, or at least a decision, is written down."""
        return (self.departed_at or self.decided_at) is not None

    @property
    def effective_departed_at(self) -> datetime:
        """Left, else decided, else arrived; never before the arrival."""
        return max(self.departed_at or self.decided_at or self.arrived_at, self.arrived_at)

    @property
    def month_on(self) -> str:
        """First day of the month of arrival on the hospital's clock."""
        return self.arrived_local[:7] + "-01"


@dataclass(frozen=True)
class History:
    """One person's visits (or one nobody's), and the right answer for the headline measure."""

    example: int
    name: str
    why: str
    data_through: datetime
    died_on: date | None
    other_facts: str
    numerator: int
    index_visits: int
    all_visits: int
    attributed_visit: str | None
    visits: tuple[Visit, ...]

    def leg(self, key: str) -> list[Visit]:
        """The registrations of one leg, the one with the last word first."""
        return sorted(
            (visit for visit in self.visits if visit.leg == key), key=lambda row: row.leaving_rank
        )

    def legs(self) -> list[str]:
        """Leg keys in order of their first arrival."""
        return list(dict.fromkeys(visit.leg for visit in self.visits))

    def stay(self, key: str) -> list[str]:
        """The leg keys of one stay, in order."""
        return list(dict.fromkeys(visit.leg for visit in self.visits if visit.stay == key))

    def stays(self) -> list[str]:
        """Stay keys in order of their start."""
        return list(dict.fromkeys(visit.stay for visit in self.visits))

    def departed_at(self, leg: str) -> datetime:
        """The departure of a leg: that of the registration that leaves last."""
        return max(visit.effective_departed_at for visit in self.leg(leg))

    def index_stays(self) -> list[str]:
        """Stays that are index visits."""
        return [
            stay
            for stay in self.stays()
            if self.leg(self.stay(stay)[-1])[0].exclusion_reason is None
        ]

    def follow_up_seconds(self, leg: str) -> int | None:
        """Seconds from a leg's departure to the end of the data; None after a death."""
        last = self.leg(leg)[0]
        if last.disposition == "died":
            return None
        if self.died_on is not None:
            day_after = datetime.combine(self.died_on + timedelta(days=1), datetime.min.time())
            if day_after.replace(tzinfo=UTC) <= self.data_through:
                return None
        return int((self.data_through - self.departed_at(leg)).total_seconds())


def load_histories(directory: Path = HISTORIES) -> list[History]:
    """Read every worked history.

    Raises:
        HistoryError: an answer is missing, or the answers contradict the steps.
    """
    steps = {row["visit"]: row for row in read_rows(directory / "ed_return_steps.csv")}
    histories = []
    for table in TABLES:
        visits = read_rows(directory / f"{table}.csv")
        for answer in read_rows(directory / f"{table}_expected.csv"):
            mine = [_visit(row, steps) for row in visits if row["example"] == answer["example"]]
            histories.append(_history(answer, mine))
    for history in histories:
        _check(history)
    return histories


def read_rows(path: Path) -> list[dict[str, str]]:
    """All rows of a CSV file with a header, as text."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _visit(row: dict[str, str], steps: dict[str, dict[str, str]]) -> Visit:
    if row["visit"] not in steps:
        raise HistoryError(f"Visit {row['visit']} has no row in ed_return_steps.csv: add one.")
    step = steps[row["visit"]]
    arrived_at = instant(row["arrived_local"], row["time_zone"])
    if arrived_at is None:
        raise HistoryError(f"Visit {row['visit']} has no arrival: write one.")
    return Visit(
        key=row["visit"],
        person=row["person"] or None,
        hospital=row["hospital"],
        time_zone=row["time_zone"],
        arrived_local=row["arrived_local"],
        departed_local=row["departed_local"],
        arrived_at=arrived_at,
        decided_at=instant(row.get("decided_local", ""), row["time_zone"]),
        departed_at=instant(row["departed_local"], row["time_zone"]),
        disposition=row["disposition"] or None,
        is_planned=row["is_planned"] == "true",
        leg=step["leg"],
        leaving_rank=int(step["leaving_rank"]),
        stay=step["stay"],
        exclusion_reason=step["index_exclusion_reason"] or None,
        may_return={"": None, "true": True, "false": False}[step["may_return"]],
        outcome=step["outcome"] or None,
        return_visit=step["return_visit"] or None,
        elapsed_seconds=seconds(step["elapsed"]),
    )


def instant(local: str, zone: str) -> datetime | None:
    """A time on the clock of a place as an instant in UTC; None where none is written."""
    if not local:
        return None
    return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def seconds(elapsed: str) -> int | None:
    """Hours, minutes and seconds (`72:00:01`) in seconds; None where none are written."""
    if not elapsed:
        return None
    hours, minutes, rest = (int(part) for part in elapsed.split(":"))
    return hours * 3600 + minutes * 60 + rest


def _history(answer: dict[str, str], visits: Iterable[Visit]) -> History:
    died = re.fullmatch(r"died at home (\S+)", answer["other_facts"])
    return History(
        example=int(answer["example"]),
        name=answer["name"],
        why=answer["why"],
        data_through=datetime.fromisoformat(answer["data_through"]).replace(tzinfo=UTC),
        died_on=date.fromisoformat(died[1]) if died else None,
        other_facts=answer["other_facts"],
        numerator=int(answer["numerator"]),
        index_visits=int(answer["index_visits"]),
        all_visits=int(answer["all_visits"]),
        attributed_visit=answer["attributed_visit"] or None,
        visits=tuple(visits),
    )


def _check(history: History) -> None:
    """Refuse answers that cannot all be right: totals and steps are derived separately."""
    legs, index_visits = len(history.legs()), len(history.index_stays())
    wrong = (
        history.all_visits not in (0, legs)
        or history.index_visits not in (0, index_visits)
        or history.numerator != (history.attributed_visit is not None)
        or history.numerator > history.index_visits
    )
    if wrong:
        raise HistoryError(
            f"History {history.example} ({history.name}) contradicts itself: its counts are "
            f"{history.numerator}/{history.index_visits}/{history.all_visits}, its steps give "
            f"{index_visits} index visits and {legs} visits."
        )
