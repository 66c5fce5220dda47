"""Companion measures of the demo against another program, from the snapshot's files."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from governance.settings import Settings
from tests.helpers import lake
from tests.helpers.pipeline import query
from tests.oracle.ed_returns import answer

pytestmark = pytest.mark.integration

Key = tuple[Any, ...]


@pytest.fixture(scope="module")
def legs(demo_settings: Settings) -> list[dict[str, Any]]:
    """Every ED visit with its registrations; legs are those of the returns' oracle."""
    registrations = lake.registrations(demo_settings)
    found = answer(registrations, lake.persons(demo_settings), lake.inpatient(demo_settings))
    raw = lake.table(demo_settings, "ehr", "ed_visits").join(
        lake.table(demo_settings, "ehr", "hospitals").select("hospital_id", "time_zone"),
        on="hospital_id",
    )
    of_leg = found.registrations.select("visit_key", "leg_key").join(
        raw, left_on="visit_key", right_on="visit_id"
    )
    members: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in of_leg.sort("arrived_at", "visit_key").iter_rows(named=True):
        members[row["leg_key"]].append(row)
    counted = found.legs.filter(pl.col("month_on").is_not_null())
    return [
        leg | {"registrations": members[leg["leg_key"]]} for leg in counted.iter_rows(named=True)
    ]


def minutes(start: Any, end: Any) -> int | None:
    if start is None or end is None or end < start:
        return None
    return int((end - start) // timedelta(minutes=1))


def test_every_dimension_counts_every_visit(
    legs: list[dict[str, Any]], demo_settings: Settings
) -> None:
    expected: Counter[Key] = Counter()
    for leg in legs:
        first = leg["registrations"][0]
        local = first["arrived_at"].astimezone(ZoneInfo(first["time_zone"]))
        for dimension, value in (
            ("disposition", leg["disposition_code"]),
            ("acuity", first["acuity_code"]),
            ("arrival_mode", first["arrival_mode_code"]),
            ("arrival_hour", f"{local.hour:02}"),
        ):
            expected[leg["hospital_key"], leg["month_on"], dimension, value or "not_recorded"] += 1
    found = query(
        demo_settings.warehouse,
        "select hospital_key, month_on, dimension_code, value_code, visits_count "
        "from marts.rpt_ed_visit_mix_monthly",
    )
    assert {row[:4]: row[4] for row in found.iter_rows()} == dict(expected)
    assert len({key[3] for key in expected if key[2] == "arrival_hour"}) == 24


def test_intervals_are_those_of_the_sorted_minutes(
    legs: list[dict[str, Any]], demo_settings: Settings
) -> None:
    asked: dict[Key, list[int | None]] = defaultdict(list)
    for leg in legs:
        place = leg["hospital_key"], leg["month_on"]
        rows = leg["registrations"]
        triaged = min((r["triaged_at"] for r in rows if r["triaged_at"]), default=None)
        seen = min((r["seen_at"] for r in rows if r["seen_at"]), default=None)
        decided = max((r["disposition_at"] for r in rows if r["disposition_at"]), default=None)
        left = leg["departed_at"] if leg["is_departure_known"] else None
        stay = minutes(rows[0]["arrived_at"], left)
        asked[*place, "length_of_stay", "all"].append(stay)
        asked[*place, "length_of_stay", leg["disposition_code"] or "not_recorded"].append(stay)
        asked[*place, "arrival_to_triage", "all"].append(minutes(rows[0]["arrived_at"], triaged))
        asked[*place, "triage_to_physician", "all"].append(minutes(triaged, seen))
        if leg["disposition_code"] == "admitted":
            asked[*place, "boarding", "all"].append(minutes(decided, left))
    expected = {}
    for key, found in asked.items():
        known = sorted(value for value in found if value is not None)
        median, p90 = (
            (known[ceil(len(known) * 5 / 10) - 1], known[ceil(len(known) * 9 / 10) - 1])
            if known
            else (None, None)
        )
        expected[key] = (len(found), len(known), median, p90)
    rows = query(
        demo_settings.warehouse,
        "select hospital_key, month_on, interval_code, disposition_code, visits_count, "
        "measured_count, median_minutes, p90_minutes from marts.rpt_ed_intervals_monthly",
    )
    assert {row[:4]: row[4:] for row in rows.iter_rows()} == expected
    assert {key[2] for key, value in expected.items() if value[1] > 10} == {
        "length_of_stay",
        "arrival_to_triage",
        "triage_to_physician",
        "boarding",
    }
