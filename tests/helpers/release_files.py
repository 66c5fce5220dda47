"""Tables of a release, made up by hand and written as a release is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class Visit:
    """A released visit; days are written only where some visit has one."""

    interval: str | None = None
    ccsr: tuple[str, ...] = ()
    chapters: tuple[str, ...] = ()
    acuity: str = "withheld"
    outcome: str = "withheld"
    length: str = "withheld"
    day: dt.date | None = None


@dataclass(frozen=True)
class Patient:
    """A released person."""

    sex: str = "F"
    age: str = "18-29"
    year: int | None = 2024
    visits: Sequence[Visit] = field(default_factory=lambda: (Visit(),))


def write_files(directory: Path, patients: Mapping[int, Patient]) -> Path:
    """Write the three tables of a release into a directory and return it."""
    directory.mkdir(parents=True)
    stays = [
        (key, number, key * 10 + number, visit)
        for key, patient in patients.items()
        for number, visit in enumerate(patient.visits, start=1)
    ]
    people = {
        "person_key": pa.array(list(patients), pa.int64()),
        "sex_code": [patient.sex for patient in patients.values()],
        "age_band": [patient.age for patient in patients.values()],
    }
    if any(patient.year for patient in patients.values()):
        people["visit_year"] = pa.array([p.year for p in patients.values()], pa.int32())
    visits = {
        "visit_key": pa.array([stay[2] for stay in stays], pa.int64()),
        "person_key": pa.array([stay[0] for stay in stays], pa.int64()),
        "acuity_code": [stay[3].acuity for stay in stays],
        "disposition_code": [stay[3].outcome for stay in stays],
        "interval_band": pa.array([stay[3].interval for stay in stays], pa.string()),
        "length_of_stay_band": [stay[3].length for stay in stays],
        "visit_number": pa.array([stay[1] for stay in stays], pa.int32()),
    }
    if any(stay[3].day for stay in stays):
        visits["arrived_on"] = pa.array([stay[3].day for stay in stays], pa.date32())
    groups = [
        (stay[2], stay[0], level, code)
        for stay in stays
        for level, codes in (("ccsr", stay[3].ccsr), ("chapter", stay[3].chapters))
        for code in codes
    ]
    diagnoses = {
        "visit_key": pa.array([group[0] for group in groups], pa.int64()),
        "person_key": pa.array([group[1] for group in groups], pa.int64()),
        "group_level_code": pa.array([group[2] for group in groups], pa.string()),
        "group_code": pa.array([group[3] for group in groups], pa.string()),
    }
    for name, table in (("patients", people), ("ed_visits", visits), ("diagnoses", diagnoses)):
        pq.write_table(pa.table(table), directory / f"release_{name}.parquet")
    return directory
