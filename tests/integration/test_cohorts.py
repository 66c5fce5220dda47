"""The shipped cohorts: worked patients from facts to membership, and a second implementation."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from tests.helpers.small_cohorts import SCHEMAS, write_project
from tests.oracle.cohorts import COHORTS, read_people

pytestmark = pytest.mark.integration

CODES = ["E119", "E1165", "E109", "I5022", "I110", "I119", "I130", "I132", "J189"]
ZONES = {"NY": "America/New_York", "LA": "America/Los_Angeles"}


class Network:
    """Core tables, filled contact by contact."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in SCHEMAS}
        self.rows["dim_hospitals"] = list(ZONES.items())
        self.rows["dim_diagnoses"] = [(code, None) for code in CODES]

    def person(self, key: str, birth: date | None, died: date | None = None) -> None:
        self.rows["dim_patients"].append((key, "F", birth, died))

    def ed(
        self,
        key: str,
        person: str | None,
        at: datetime,
        *codes: str,
        leg: str | None = None,
        planned: bool = False,
        hospital: str = "NY",
    ) -> None:
        self.rows["fct_ed_visits"].append((key, leg or key, planned, at, None))
        times = (at, at + timedelta(hours=3))
        self._encounter(key, person, (hospital, "emergency"), times, codes)

    def stay(self, key: str, person: str | None, at: datetime, days: int, *codes: str) -> None:
        times = (at, at + timedelta(days=days))
        self._encounter(key, person, ("NY", "inpatient"), times, codes)

    def _encounter(
        self,
        key: str,
        person: str | None,
        place: tuple[str, str],
        times: tuple[datetime, datetime],
        codes: tuple[str, ...],
    ) -> None:
        self.rows["fct_encounters"].append((key, person, *place, *times))
        for number, code in enumerate(codes):
            self.rows["fct_diagnoses"].append((key, code, number == 0))

    def tables(self) -> dict[str, pl.DataFrame]:
        return {
            name: pl.DataFrame(self.rows[name], schema=schema, orient="row")
            for name, schema in SCHEMAS.items()
        }


def _build(root: Path, tables: dict[str, pl.DataFrame], command: str = "build") -> Path:
    project = write_project(root / "project", tables)
    (root / "restricted").mkdir()
    environment = {**os.environ, "SCUTARI_HOME": str(root), "DBT_PROFILES_DIR": str(project)}
    arguments = [sys.executable, "-m", "dbt.cli.main", "--no-use-colors", "--quiet", command]
    arguments += ["--target-path", str(root / "target"), "--log-path", str(root / "logs")]
    result = subprocess.run(
        arguments, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return root / "warehouse.duckdb"


def _noon(day: str) -> datetime:
    """Noon in New York in winter, as UTC."""
    return datetime.fromisoformat(f"{day} 17:00:00")


def test_worked_patients_from_facts_to_membership(tmp_path: Path) -> None:
    """The definitions' own words, followed by hand.

    ann: E11 on 10 January, last seen 5 March: a member from the one to the other.
    bob: E11 at 17 and again at 18: the first event is what counts, so never a member.
    cat: E11 and, in the same ED leg registered twice, E10: type 1 in the year before, out.
    dan: heart failure (I13.2) on day 29 of observation, again 31 days later: the second one. He
        died before his last contact: the membership ends with him.
    eve: I11.9 is no heart failure.
    fay: five ED visits in 365 days, one of the six being planned. Her fifth is at 23:30 on 30
        December in New York, which is the 31st in UTC: she was last seen on 2 February.
    A diabetic whom nobody knows is an event of no person.
    """
    network = Network()
    network.person("ann", date(1960, 1, 1))
    network.ed("a1", "ann", _noon("2023-01-10"), "E119", "E1165")
    network.stay("a2", "ann", _noon("2023-03-01"), 4, "E119")
    network.person("bob", date(2005, 6, 1))
    network.ed("b1", "bob", _noon("2023-05-31"), "E119")
    network.ed("b2", "bob", _noon("2023-06-01"), "E119")
    network.person("cat", date(1960, 1, 1))
    network.ed("c1", "cat", _noon("2023-01-10"), "E119")
    network.ed("c2", "cat", _noon("2023-01-10") + timedelta(hours=1), "E109", leg="c1")
    network.person("dan", date(1940, 1, 1), died=date(2023, 4, 1))
    network.ed("d1", "dan", _noon("2023-01-01"), "J189")
    network.ed("d2", "dan", _noon("2023-01-30"), "J189", "I132")
    network.ed("d3", "dan", _noon("2023-03-02"), "I5022")
    network.ed("d4", "dan", _noon("2023-05-01"), "J189")
    network.person("eve", date(1940, 1, 1))
    network.ed("e1", "eve", _noon("2023-01-01"), "J189")
    network.ed("e2", "eve", _noon("2023-06-01"), "I119")
    network.person("fay", date(1990, 1, 1))
    for number, day in enumerate(("2023-01-02", "2023-01-03", "2023-01-04", "2023-01-05")):
        network.ed(f"f{number}", "fay", _noon(day))
    network.ed("f4", "fay", _noon("2023-01-06"), planned=True)
    network.ed("f5", "fay", datetime(2023, 12, 31, 4, 30))
    network.ed("f6", "fay", _noon("2024-02-02"))
    network.ed("u1", None, _noon("2023-02-02"), "E119")

    with duckdb.connect(str(_build(tmp_path, network.tables())), read_only=True) as connection:
        members = connection.execute("from marts.fct_cohort_members order by all").fetchall()
        attrition = connection.execute(
            "select cohort_code, rule_name, persons_count, events_count"
            " from marts.rpt_cohort_attrition order by cohort_code, rule_number"
        ).fetchall()

    assert members == [
        ("ed_frequent_attenders", "fay", date(2023, 12, 30), date(2024, 2, 2)),
        ("heart_failure", "dan", date(2023, 3, 2), date(2023, 4, 1)),
        ("type_2_diabetes", "ann", date(2023, 1, 10), date(2023, 3, 5)),
    ]
    assert attrition == [
        ("ed_frequent_attenders", "entry_events", 1, 1),
        ("ed_frequent_attenders", "linkable_person", 1, 1),
        ("ed_frequent_attenders", "membership_periods", 1, 1),
        ("heart_failure", "entry_events", 1, 2),
        ("heart_failure", "linkable_person", 1, 2),
        ("heart_failure", "prior_observation", 1, 1),
        ("heart_failure", "washout", 1, 1),
        ("heart_failure", "adult", 1, 1),
        ("heart_failure", "first_passing_event", 1, 1),
        ("heart_failure", "membership_periods", 1, 1),
        # ann twice, bob twice, cat, nobody.
        ("type_2_diabetes", "entry_events", 3, 6),
        ("type_2_diabetes", "linkable_person", 3, 5),
        ("type_2_diabetes", "first_entry_event", 3, 3),
        ("type_2_diabetes", "adult", 2, 2),
        ("type_2_diabetes", "no_type_1_diabetes_within_a_year", 1, 1),
        ("type_2_diabetes", "membership_periods", 1, 1),
    ]


def _drawn(seed: int) -> Network:
    """Persons with contacts at all hours, some on one day, some years apart, some of nobody."""
    random_source = random.Random(seed)
    network = Network()
    for number in range(400):
        person = f"p{number}"
        birth = date(1930, 1, 1) + timedelta(days=random_source.randrange(33_000))
        died = date(2023, 1, 1) + timedelta(days=random_source.randrange(900))
        network.person(
            person,
            birth if random_source.random() < 0.95 else None,
            died if random_source.random() < 0.1 else None,
        )
        span = random_source.choice((40, 400, 1000))
        for visit in range(random_source.choice((1, 2, 3, 6, 12))):
            at = datetime(2022, 1, 1) + timedelta(minutes=random_source.randrange(span * 1440))
            owner = person if random_source.random() < 0.97 else None
            codes = random_source.sample(CODES, random_source.randrange(3))
            key = f"{person}-{visit}"
            if random_source.random() < 0.2:
                network.stay(key, owner, at, random_source.randrange(9), *codes)
                continue
            hospital = random_source.choice(list(ZONES))
            planned = random_source.random() < 0.1
            network.ed(key, owner, at, *codes, planned=planned, hospital=hospital)
            if random_source.random() < 0.1:
                again = at + timedelta(minutes=random_source.randrange(180))
                more = random_source.sample(CODES, 1)
                network.ed(f"{key}b", owner, again, *more, leg=key, hospital=hospital)
    return network


def test_a_second_implementation_agrees_on_drawn_histories(tmp_path: Path) -> None:
    tables = _drawn(1854).tables()
    assert_agrees(_build(tmp_path, tables, "run"), tables, minimum=5)


def assert_agrees(warehouse: Path, tables: dict[str, pl.DataFrame], minimum: int) -> None:
    """Compare members and attrition of every shipped cohort with the oracle's, row by row."""
    people = read_people(
        tables["fct_encounters"],
        tables["fct_ed_visits"],
        tables["fct_diagnoses"],
        tables["dim_patients"],
        tables["dim_hospitals"],
    )
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        for code, expected in COHORTS.items():
            members = connection.execute(
                "select person_key, starts_on, ends_on from marts.fct_cohort_members"
                " where cohort_code = ? order by all",
                [code],
            ).fetchall()
            attrition = connection.execute(
                "select persons_count, events_count from marts.rpt_cohort_attrition"
                " where cohort_code = ? order by rule_number",
                [code],
            ).fetchall()
            periods, steps = expected(people)
            assert len(periods) >= minimum, f"{code}: too few members to compare"
            assert members == periods, code
            assert attrition == steps, code
