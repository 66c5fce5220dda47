"""Companion measures of the demo against another program, from the snapshot's files."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta
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
    attendances = bands(legs)
    for leg in legs:
        first = leg["registrations"][0]
        local = first["arrived_at"].astimezone(ZoneInfo(first["time_zone"]))
        for dimension, value in (
            ("disposition", leg["disposition_code"]),
            ("acuity", first["acuity_code"]),
            ("arrival_mode", first["arrival_mode_code"]),
            ("arrival_hour", f"{local.hour:02}"),
            ("attendance", attendances[leg["leg_key"]]),
        ):
            expected[leg["hospital_key"], leg["month_on"], dimension, value or "not_recorded"] += 1
    found = query(
        demo_settings.warehouse,
        "select hospital_key, month_on, dimension_code, value_code, visits_count "
        "from marts.rpt_ed_visit_mix_monthly",
    )
    assert {row[:4]: row[4] for row in found.iter_rows()} == dict(expected)
    assert len({key[3] for key in expected if key[2] == "arrival_hour"}) == 24
    assert len({key[3] for key in expected if key[2] == "attendance"}) >= 5


def test_the_census_is_that_of_a_count_at_every_hour(
    legs: list[dict[str, Any]], demo_settings: Settings
) -> None:
    hour = timedelta(hours=1)
    present: dict[str, Counter[datetime]] = defaultdict(Counter)
    spans: dict[str, list[datetime]] = defaultdict(list)
    zones = {}
    for leg in legs:
        begun, ended = leg["registrations"][0]["arrived_at"], leg["departed_at"]
        if not leg["is_departure_known"] or ended <= begun:
            continue
        zones[leg["hospital_key"]] = ZoneInfo(leg["registrations"][0]["time_zone"])
        mark, last = full_hour(begun), full_hour(ended)
        spans[leg["hospital_key"]] += [mark, last]
        while mark < last:
            present[leg["hospital_key"]][mark] += 1
            mark += hour
    expected: dict[Key, list[int]] = {}
    for hospital, ends in spans.items():
        mark = min(ends)
        while mark <= max(ends):
            local = mark.astimezone(zones[hospital])
            key = (hospital, local.date().replace(day=1), local.hour)
            readings, patients, most = expected.get(key, [0, 0, 0])
            count = present[hospital][mark]
            expected[key] = [readings + 1, patients + count, max(most, count)]
            mark += hour
    found = query(
        demo_settings.warehouse,
        "select hospital_key, month_on, read_hour, readings_count, patients_count, "
        "most_patients_count from marts.rpt_ed_census_monthly",
    )
    assert {row[:3]: list(row[3:]) for row in found.iter_rows()} == expected
    assert max(most for _, _, most in expected.values()) > 2


def full_hour(instant: datetime) -> datetime:
    """The first full hour that is not before an instant."""
    whole = instant.replace(minute=0, second=0, microsecond=0)
    return whole if whole == instant else whole + timedelta(hours=1)


def bands(legs: list[dict[str, Any]]) -> dict[str, str]:
    """Which visit of its person within 365 days each one is, found by looking at all others."""
    year = timedelta(days=365)
    of_person: dict[Key, list[datetime]] = defaultdict(list)
    begun: dict[str, datetime] = {}
    for leg in legs:
        arrived = leg["registrations"][0]["arrived_at"]
        of_person[leg["hospital_key"], leg["person_key"]].append(arrived)
        begun[leg["hospital_key"]] = min(arrived, begun.get(leg["hospital_key"], arrived))
    found = {}
    for leg in legs:
        hospital, person = leg["hospital_key"], leg["person_key"]
        arrived = leg["registrations"][0]["arrived_at"]
        number = sum(arrived - year < other <= arrived for other in of_person[hospital, person])
        if person is None:
            found[leg["leg_key"]] = "unlinked"
        elif arrived - begun[hospital] < year:
            found[leg["leg_key"]] = "look_back_short"
        else:
            found[leg["leg_key"]] = next(
                name
                for most, name in (
                    (1, "01"),
                    (3, "02_to_03"),
                    (9, "04_to_09"),
                    (10**9, "10_or_later"),
                )
                if number <= most
            )
    return found


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
