"""A network in which most things happen at the very limit of a rule.

A plausible network (the demo) seldom has a gap of exactly 72 hours, an eighteenth birthday on the
day of a return, or follow-up that ends in the same second as a window. Here most visits are such:
what one `<=` too few would change somewhere in the warehouse shows against the oracle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

# A midnight, so that a death on the day before completes follow-up in this very second.
DATA_THROUGH = datetime(2024, 11, 6, tzinfo=UTC)
ZONES = {
    "A": "America/Toronto",
    "B": "America/Winnipeg",
    "C": "UTC",
    "D": "Europe/London",
}
# The clocks change and months turn within the days after these; the last meet the end of the data.
STARTS = (
    datetime(2024, 3, 8, 5, tzinfo=UTC),
    datetime(2024, 5, 31, 23, 30, tzinfo=UTC),
    datetime(2024, 10, 26, tzinfo=UTC),
    DATA_THROUGH - timedelta(hours=72),
    DATA_THROUGH - timedelta(hours=168),
)
GAP_HOURS = (0, 1, 24, 24, 72, 72, 72, 168, 168, 240)
SECONDS = (0, 0, 0, 1, -1)
LENGTH_HOURS = (0, 0, 2, 6, 24, 72)
DISPOSITIONS = [*["home"] * 6, *["admitted"] * 5, *["transferred"] * 4]
DISPOSITIONS += ["lwbs", "ama", "died", "observation", "other"]
DIAGNOSES = ("I21.4", "I22.2", "I60.9", "A41.9", "A41.9", "A40.0", "R07.9", "J18.9", None)
ADULT = timedelta(days=45 * 365)


@dataclass
class Tables:
    """Operational rows of the network as they are drawn."""

    patients: list[dict[str, Any]] = field(default_factory=list)
    ed_visits: list[dict[str, Any]] = field(default_factory=list)
    ed_visit_diagnoses: list[dict[str, Any]] = field(default_factory=list)
    inpatient_encounters: list[dict[str, Any]] = field(default_factory=list)
    inpatient_diagnoses: list[dict[str, Any]] = field(default_factory=list)


def draw_network(persons: int, seed: int) -> dict[str, dict[str, Any]]:
    """Content for `tests.helpers.operational.write_installation`; the same seed, the same rows."""
    chance = Random(seed)
    tables = Tables()
    for number in range(1, persons + 1):
        _draw_person(chance, number, tables)
    feeds = [{"hospital_id": name, "data_through_at": DATA_THROUGH} for name in ZONES]
    # One feed may be ahead of the others: the earliest ends what is known.
    feeds[0]["data_through_at"] = DATA_THROUGH + timedelta(days=30)
    hospitals = [{"hospital_id": name, "time_zone": zone} for name, zone in ZONES.items()]
    return {"ehr": {"hospitals": hospitals, "feeds": feeds, **vars(tables)}}


def _draw_person(chance: Random, number: int, tables: Tables) -> None:
    start = chance.choice(STARTS) + timedelta(seconds=chance.choice(SECONDS))
    visits = _history(chance, start, number)
    born = _birth(chance, visits)
    day = DATA_THROUGH.date()
    died = chance.choice((None,) * 9 + (day - timedelta(days=2), day - timedelta(days=1), day))
    place = {hospital: number * len(ZONES) + i for i, hospital in enumerate(ZONES, start=1)}
    for hospital in sorted({visit["hospital_id"] for visit in visits}):
        tables.patients.append(
            {
                "patient_id": place[hospital],
                "hospital_id": hospital,
                "health_number": f"HN{number}",
                "identity_status_code": "unidentified" if number % 29 == 0 else "identified",
                "birth_date": born,
                "deceased_on": died,
            }
        )
    for visit in visits:
        visit["patient_id"] = place[visit["hospital_id"]]
        _diagnose(chance, visit, tables)
    tables.ed_visits.extend(visits)
    for visit in visits:
        if chance.random() < 0.15:
            _admit_past_the_ed(chance, visit, tables)


def _admit_past_the_ed(chance: Random, visit: dict[str, Any], tables: Tables) -> None:
    """An admission that names no ED visit, at the limits of what may follow a departure."""
    left = visit["departed_at"] or visit["disposition_at"] or visit["arrived_at"]
    gap = timedelta(hours=chance.choice(GAP_HOURS), seconds=chance.choice(SECONDS))
    admitted = max(left + gap, visit["arrived_at"])
    encounter = len(tables.inpatient_encounters) + 1
    tables.inpatient_encounters.append(
        {
            "encounter_id": encounter,
            "hospital_id": visit["hospital_id"],
            "patient_id": visit["patient_id"],
            "admitted_at": admitted,
            "discharged_at": chance.choice((None, admitted, admitted + timedelta(hours=24))),
            "admission_type_code": chance.choice((*["direct"] * 4, "elective", "emergency", None)),
        }
    )
    code = chance.choice(DIAGNOSES)
    if code is not None:
        tables.inpatient_diagnoses.append(
            {"encounter_id": encounter, "diagnosis_code": code, "recorded_at": admitted}
        )


def _history(chance: Random, start: datetime, number: int) -> list[dict[str, Any]]:
    visits: list[dict[str, Any]] = []
    arrived = start
    for step in range(1, 1 + chance.choice((1, 2, 2, 3, 3, 4, 5))):
        length = timedelta(hours=chance.choice(LENGTH_HOURS), seconds=chance.choice(SECONDS))
        visit = _visit(chance, number * 10 + step, arrived, max(length, timedelta(0)))
        visits.append(visit)
        left = visit["departed_at"] or visit["disposition_at"] or arrived
        gap = timedelta(hours=chance.choice(GAP_HOURS), seconds=chance.choice(SECONDS))
        # Sometimes two hospitals register the same hours.
        arrived = arrived if chance.random() < 0.1 else left + gap
    if chance.random() < 0.1:
        visits.append(_twin(chance, visits[0], number * 10))
    chance.shuffle(visits)
    return visits


def _twin(chance: Random, visit: dict[str, Any], key: int) -> dict[str, Any]:
    """The same hours at another hospital: who left last is then settled by arrival or by key."""
    hospital = chance.choice([name for name in sorted(ZONES) if name != visit["hospital_id"]])
    earlier = timedelta(hours=chance.choice((0, 1)))
    return {
        **visit,
        "visit_id": key,
        "hospital_id": hospital,
        "arrived_at": visit["arrived_at"] - earlier,
    }


def _visit(chance: Random, key: int, arrived: datetime, length: timedelta) -> dict[str, Any]:
    hospital = chance.choice(sorted(ZONES))
    clock = ZoneInfo(ZONES[hospital])
    how: str | None = chance.choice(DISPOSITIONS)
    left: datetime | None = arrived + length
    decided: datetime | None = arrived + length / 2 if chance.random() < 0.5 else None
    fate = chance.random()
    if fate < 0.08:  # still there
        how = left = decided = None
    elif fate < 0.14:  # leaving was not recorded, the decision was or was not
        left = None
    return {
        "visit_id": key,
        "hospital_id": hospital,
        "arrived_at": arrived.astimezone(clock),
        "departed_at": left and left.astimezone(clock),
        "disposition_at": decided and decided.replace(microsecond=0).astimezone(clock),
        "disposition_code": how,
        "is_planned": chance.random() < 0.08,
    }


def _birth(chance: Random, visits: list[dict[str, Any]]) -> date:
    """Adults, and people who are eighteen on the local day of a visit, the day before or after."""
    visit = chance.choice(visits)
    day: date = visit["arrived_at"].date() + timedelta(days=chance.choice((-1, 0, 1)))
    if chance.random() < 0.5:
        return day - ADULT
    return date(day.year - 18, day.month, day.day)


def _diagnose(chance: Random, visit: dict[str, Any], tables: Tables) -> None:
    rows = [(1, 0), (2, 0)]
    if (
        chance.random() < 0.2
    ):  # a correction, recorded later or, the key deciding, in the same second
        rows.append((1, chance.choice((0, 1))))
    for sequence, minutes in rows:
        code = chance.choice(DIAGNOSES)
        if code is not None:
            tables.ed_visit_diagnoses.append(
                {
                    "visit_id": visit["visit_id"],
                    "sequence_number": sequence,
                    "diagnosis_code": code,
                    "recorded_at": visit["arrived_at"] + timedelta(minutes=minutes),
                }
            )
    if visit["disposition_code"] != "admitted" or chance.random() < 0.2:
        return
    encounter = len(tables.inpatient_encounters) + 1
    left = visit["departed_at"] or visit["arrived_at"]
    tables.inpatient_encounters.append(
        {
            "encounter_id": encounter,
            "hospital_id": visit["hospital_id"],
            "patient_id": visit["patient_id"],
            "ed_visit_id": visit["visit_id"],
            "admitted_at": left,
            "discharged_at": left + timedelta(days=2),
        }
    )
    code = chance.choice(DIAGNOSES)
    if code is not None:
        tables.inpatient_diagnoses.append(
            {
                "encounter_id": encounter,
                "diagnosis_code": code,
                "recorded_at": left + timedelta(days=2),
            }
        )
