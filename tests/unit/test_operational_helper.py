"""The builder of operational databases: what it writes is what the contracts say, or it refuses."""

from __future__ import annotations

import sqlite3
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.helpers import histories, operational

TORONTO = timezone(timedelta(hours=-4))


def stored(home: Path, sql: str, source: str = "ehr") -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(home / "sources" / f"{source}.sqlite")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_every_table_of_the_contracts_exists(tmp_path: Path) -> None:
    settings = operational.write_installation(tmp_path / "home", {})
    assert set(settings.sources) == {"ehr", "billing"}
    assert settings.is_synthetic
    for source in settings.sources:
        names = stored(tmp_path / "home", "select name from sqlite_master", source)
        tables = {name for (name,) in names if not name.startswith("sqlite_")}
        assert tables == set(operational.contract(source))
    assert {"ed_visits", "patients"} <= set(operational.contract("ehr"))
    assert {"claims", "members"} <= set(operational.contract("billing"))


def test_values_are_written_as_a_hospital_holds_them(tmp_path: Path) -> None:
    visit = {
        "visit_id": 7,
        "patient_id": 3,
        "hospital_id": "A",
        "arrived_at": datetime(2024, 6, 1, 8, tzinfo=TORONTO),
        "is_planned": True,
        "acuity_code": None,
    }
    patient = {"patient_id": 3, "hospital_id": "A", "birth_date": date(1999, 2, 28)}
    line = {"claim_line_id": 1, "billed_amount": Decimal("12.50")}
    operational.write_installation(
        tmp_path / "home",
        {
            "ehr": {"ed_visits": [visit], "patients": pl.DataFrame([patient])},
            "billing": {"claim_lines": [line]},
        },
    )
    home = tmp_path / "home"
    assert stored(
        home, "select visit_id, arrived_at, is_planned, acuity_code, complaint_code from ed_visits"
    ) == [(7, "2024-06-01T08:00:00-04:00", 1, None, "other")]
    assert stored(home, "select birth_date, identity_status_code from patients") == [
        ("1999-02-28", "identified")
    ]
    assert stored(home, "select billed_amount from claim_lines", "billing") == [("12.50",)]


@pytest.mark.parametrize(
    "content",
    [
        {"lab": {}},
        {"ehr": {"visits": []}},
        {"ehr": {"ed_visits": [{"visit_id": 1, "arrived": None}]}},
    ],
)
def test_unknown_names_are_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(KeyError):
        operational.write_installation(tmp_path / "home", content)


def test_an_instant_without_a_zone_is_refused(tmp_path: Path) -> None:
    visit = {"visit_id": 1, "arrived_at": datetime(2024, 6, 1)}
    with pytest.raises(ValueError, match=r"ed_visits\.arrived_at"):
        operational.write_installation(tmp_path / "home", {"ehr": {"ed_visits": [visit]}})


@pytest.mark.parametrize("local", ["2024-03-10 02:30:00", "2024-11-03 01:30:00"])
def test_a_time_the_clock_skips_or_repeats_is_refused(local: str) -> None:
    with pytest.raises(ValueError, match="skipped or shown twice"):
        histories.instant(local, "America/Toronto")
