"""The worked histories of every measure: what happened, and which measures count what.

Four tables of `tests/histories` hold them: `ed_measure_histories.csv` (ED visits),
`…_inpatient.csv` (inpatient encounters), `…_expected.csv` (the person, the end of the data, the
reason) and `…_answers.csv`: for each index visit its return, the direct admission that follows it,
the measures that count it (`counted_in`) and those whose index denominator does not hold it
(`left_out_of`). What is in neither list is in the denominator and not counted. Codes stand there
without `ed_return_`, which all of them begin with. Histories about re-attendance have rows in
`…_reattendances.csv` too: one for each attendance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from ops.histories.worked import HISTORIES, SEEDS, HistoryError, instant, read_rows, seconds

TABLE = "ed_measure_histories"
PREFIX = "ed_return_"


@dataclass(frozen=True)
class EdVisit:
    """One ED registration: its own leg and, unless it was transferred, its own stay."""

    key: str
    hospital: str
    time_zone: str
    arrived_local: str
    departed_local: str
    arrived_at: datetime
    departed_at: datetime | None
    disposition: str | None
    is_planned: bool
    diagnosis: str


@dataclass(frozen=True)
class Inpatient:
    """One inpatient encounter; `ed_visit` is the visit that it came through.

    `is_direct` is the hand-derived answer to whether it is a direct admission, whatever it follows.
    """

    key: str
    hospital: str
    time_zone: str
    admitted_local: str
    discharged_local: str
    admitted_at: datetime
    discharged_at: datetime | None
    admission_type: str | None
    ed_visit: str | None
    diagnosis: str
    is_direct: bool


@dataclass(frozen=True)
class Answer:
    """The right answer for one index visit, derived by hand; measures by their whole code."""

    index_visit: EdVisit
    returned: str | None
    elapsed_seconds: int | None
    return_outcome: str | None
    return_diagnosis: str
    return_age: int | None
    admission: str | None
    admitted_after_seconds: int | None
    counted_in: frozenset[str]
    left_out_of: frozenset[str]


@dataclass(frozen=True)
class Attendance:
    """The right answer for one attendance and the next at the same ED.

    `is_counted` is None where the attendance is not in the denominator.
    """

    visit: EdVisit
    next_visit: str | None
    elapsed_seconds: int | None
    next_outcome: str | None
    is_counted: bool | None


@dataclass(frozen=True)
class MeasureHistory:
    """What happened to one person, and the answers."""

    example: int
    name: str
    why: str
    data_through: datetime
    born_on: date
    died_on: date | None
    visits: tuple[EdVisit, ...]
    inpatient: tuple[Inpatient, ...]
    answers: tuple[Answer, ...]
    attendances: tuple[Attendance, ...]

    @property
    def person(self) -> str:
        """The one person of the history."""
        return f"p{self.example}"

    @property
    def contacts(self) -> tuple[EdVisit | Inpatient, ...]:
        """ED visits and inpatient encounters."""
        return (*self.visits, *self.inpatient)

    def hospital_of(self, key: str | None) -> str | None:
        """Where an ED visit or an inpatient encounter of this history took place."""
        return next((contact.hospital for contact in self.contacts if contact.key == key), None)

    def follow_up_seconds(self, visit: EdVisit) -> int | None:
        """Seconds from a departure to the end of the data; None after a death."""
        if self.died_on is not None:
            day_after = datetime.combine(self.died_on + timedelta(days=1), time(), UTC)
            if day_after <= self.data_through:
                return None
        departed_at = visit.departed_at or visit.arrived_at
        return int((self.data_through - departed_at).total_seconds())


def load_measure_histories(directory: Path = HISTORIES) -> list[MeasureHistory]:
    """Read the worked histories of all measures.

    Raises:
        HistoryError: an answer names a visit or a measure that is not there, or contradicts itself.
    """
    visits = read_rows(directory / f"{TABLE}.csv")
    inpatient = read_rows(directory / f"{TABLE}_inpatient.csv")
    answers = read_rows(directory / f"{TABLE}_answers.csv")
    attendances = read_rows(directory / f"{TABLE}_reattendances.csv")
    histories = []
    for row in read_rows(directory / f"{TABLE}_expected.csv"):
        mine = {
            visit.key: visit
            for visit in map(_visit, (v for v in visits if v["example"] == row["example"]))
        }
        stays = [_inpatient(stay) for stay in inpatient if stay["example"] == row["example"]]
        told = [_answer(a, mine) for a in answers if a["index_visit"] in mine]
        again = [_attendance(a, mine) for a in attendances if a["visit"] in mine]
        histories.append(_history(row, mine.values(), stays, told, again))
    loose = {row["index_visit"] for row in answers} - {
        answer.index_visit.key for history in histories for answer in history.answers
    }
    if loose:
        raise HistoryError(
            f"{TABLE}_answers.csv speaks of {', '.join(sorted(loose))}: no history has that visit."
        )
    return histories


def measure_codes(*, of_attendances: bool = False) -> list[str]:
    """Codes of the measures that are shipped, in the order of the seed.

    Args:
        of_attendances: those that ask of every attendance, instead of those of index visits.
    """
    return [
        row["measure_code"]
        for row in read_rows(SEEDS / "ed_return_measures.csv")
        if (row["pairing_code"] == "after_attendance") == of_attendances
    ]


def _visit(row: dict[str, str]) -> EdVisit:
    arrived_at = instant(row["arrived_local"], row["time_zone"])
    if arrived_at is None:
        raise HistoryError(f"Visit {row['visit']} has no arrival: write one.")
    return EdVisit(
        key=row["visit"],
        hospital=row["hospital"],
        time_zone=row["time_zone"],
        arrived_local=row["arrived_local"],
        departed_local=row["departed_local"],
        arrived_at=arrived_at,
        departed_at=instant(row["departed_local"], row["time_zone"]),
        disposition=row["disposition"] or None,
        is_planned=row["is_planned"] == "true",
        diagnosis=row["diagnosis"],
    )


def _inpatient(row: dict[str, str]) -> Inpatient:
    admitted_at = instant(row["admitted_local"], row["time_zone"])
    if admitted_at is None:
        raise HistoryError(f"Encounter {row['encounter']} has no admission: write one.")
    return Inpatient(
        key=row["encounter"],
        hospital=row["hospital"],
        time_zone=row["time_zone"],
        admitted_local=row["admitted_local"],
        discharged_local=row["discharged_local"],
        admitted_at=admitted_at,
        discharged_at=instant(row["discharged_local"], row["time_zone"]),
        admission_type=row["admission_type"] or None,
        ed_visit=row["ed_visit"] or None,
        diagnosis=row["diagnosis"],
        is_direct=row["is_direct"] == "true",
    )


def _answer(row: dict[str, str], visits: dict[str, EdVisit]) -> Answer:
    return Answer(
        index_visit=visits[row["index_visit"]],
        returned=row["return"] or None,
        elapsed_seconds=seconds(row["elapsed"]),
        return_outcome=row["return_outcome"] or None,
        return_diagnosis=row["return_diagnosis"],
        return_age=int(row["return_age"]) if row["return_age"] else None,
        admission=row["direct_admission"] or None,
        admitted_after_seconds=seconds(row["admitted_after"]),
        counted_in=frozenset(PREFIX + code for code in row["counted_in"].split()),
        left_out_of=frozenset(PREFIX + code for code in row["left_out_of"].split()),
    )


def _attendance(row: dict[str, str], visits: dict[str, EdVisit]) -> Attendance:
    return Attendance(
        visit=visits[row["visit"]],
        next_visit=row["next_visit"] or None,
        elapsed_seconds=seconds(row["elapsed"]),
        next_outcome=row["next_outcome"] or None,
        is_counted={"counted": True, "not_counted": False, "left_out": None}[row["answer"]],
    )


def _history(
    row: dict[str, str],
    visits: Iterable[EdVisit],
    inpatient: Iterable[Inpatient],
    answers: Iterable[Answer],
    attendances: Iterable[Attendance],
) -> MeasureHistory:
    history = MeasureHistory(
        example=int(row["example"]),
        name=row["name"],
        why=row["why"],
        data_through=datetime.fromisoformat(row["data_through"]).replace(tzinfo=UTC),
        born_on=date.fromisoformat(row["born_on"]),
        died_on=date.fromisoformat(row["died_on"]) if row["died_on"] else None,
        visits=tuple(visits),
        inpatient=tuple(inpatient),
        answers=tuple(answers),
        attendances=tuple(attendances),
    )
    _check(history)
    return history


def _check(history: MeasureHistory) -> None:
    """Refuse answers that cannot be right whatever happened."""
    known = set(measure_codes())
    for answer in history.answers:
        named = answer.counted_in | answer.left_out_of
        followed_by = [key for key in (answer.returned, answer.admission) if key]
        wrong = (
            named - known
            or answer.counted_in & answer.left_out_of
            or (answer.counted_in and not followed_by)
            or not all(history.hospital_of(key) for key in followed_by)
        )
        if wrong:
            raise HistoryError(
                f"History {history.example} ({history.name}): the answer for visit "
                f"{answer.index_visit.key} names an unknown measure or return, or a measure both "
                "as counted and as left out."
            )
