"""A small installation for nights that go well and nights that do not."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from governance.settings import Settings

MARCH, APRIL = datetime(2024, 3, 5, 8, tzinfo=UTC), datetime(2024, 4, 5, 8, tzinfo=UTC)
CONTENT: dict[str, dict[str, list[dict[str, Any]]]] = {
    "ehr": {
        "hospitals": [{"hospital_id": "H1"}],
        "feeds": [{"hospital_id": "H1", "data_through_at": APRIL}],
        "patients": [
            {"patient_id": 710_017_100_171, "hospital_id": "H1", "health_number": "HN-CANARY-1"},
            {"patient_id": 710_027_100_272, "hospital_id": "H1", "first_name": "Canaria"},
        ],
        "ed_visits": [
            {
                "visit_id": 810_018_100_181,
                "hospital_id": "H1",
                "patient_id": 710_017_100_171,
                "arrived_at": MARCH,
            },
            {
                "visit_id": 810_028_100_282,
                "hospital_id": "H1",
                "patient_id": 710_027_100_272,
                "arrived_at": APRIL,
            },
            {
                "visit_id": 810_038_100_383,
                "hospital_id": "H1",
                "patient_id": 710_027_100_272,
                "arrived_at": APRIL,
                "complaint_code": "call canary@example.org",
            },
        ],
    },
}
# A night in a process of its own, which ends where the test says.
CHILD = """
import os, signal, sys
from pathlib import Path
from extract import snapshot
from extract.snapshot import take_snapshot
from governance.settings import load_settings
import pyarrow as pa
lists = {"icd10cm": pa.table({"code": ["I214"]})}
snapshot.reference_table_apart = lambda name: lists[name]
snapshot.reference_versions = dict
point, count = sys.argv[2], int(sys.argv[3])
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
def progress(_):
    global count
    count -= 1
    if point == "line" and count == 0:
        die()
if point == "rename":
    real = os.rename
    def rename(*arguments):
        global count
        count -= 1
        if count < 0:
            die()
        real(*arguments)
    os.rename = rename
if point == "match":
    from extract.identity.matching import grouping
    setattr(grouping, ("cluster", "_write_review")[count], die)
if point == "manifest":
    snapshot.write_manifest = die
if point == "switch":
    real_switch = snapshot.switch
    def switch(*arguments):
        global count
        count -= 1
        if count < 0:
            die()
        real_switch(*arguments)
    snapshot.switch = switch
take_snapshot(load_settings(Path(sys.argv[1])), full=True, progress=progress)
"""


def change(settings: Settings, statement: str, source: str = "ehr") -> None:
    path = settings.home / "sources" / f"{source}.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def current(settings: Settings) -> str:
    return os.readlink(settings.lake / "current")


def visits(settings: Settings) -> pl.DataFrame:
    files = sorted((settings.lake / "current" / "ehr" / "ed_visits").glob("*.parquet"))
    return pl.concat([pl.read_parquet(file) for file in files])


def leftovers(settings: Settings) -> list[Path]:
    return [path for path in settings.home.rglob("*.tmp") if path.name.startswith(".")]
