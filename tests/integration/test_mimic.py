"""222 real ED registrations through snapshot, dbt build and publication.

The raw gap (next arrival minus departure, of neighbours in a patient's list) proves that nothing
was lost on the way: 4 / 6 / 12 within 72 h / 7 d / 30 d after the 60 that went home, 7 / 15 / 52
after all 222. The measures are smaller; `CANDIDATES` derives each of them by hand.

Data through 2202-01-01: the last patient leaves on 2201-10-30, so every 30-day window is closed and
follow-up excludes nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from operator import itemgetter

import polars as pl
import pytest

from governance.settings import Settings
from tests.helpers import mimic, operational, pipeline
from tests.oracle.ed_return_measures import Measure, monthly_counts
from tests.oracle.ed_returns import PERSON_SCHEMA, REGISTRATION_SCHEMA, Answer, answer

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        mimic.folder() is None,
        reason="the MIMIC-IV-ED demo is not at hand (SCUTARI_SHARED_DATA names its folder)",
    ),
]

WINDOWS = {"72 h": 72, "7 d": 168, "30 d": 720}


@dataclass(frozen=True)
class Candidate:
    """A registration that ended at home and the patient's next one, within 30 days."""

    subject: int
    stay: int
    left: str
    next_stay: int
    arrived: str
    next_disposition: str
    is_return: bool
    why: str

    @property
    def gap(self) -> timedelta:
        return datetime.fromisoformat(self.arrived) - datetime.fromisoformat(self.left)


# Every neighbour pair within 30 days after HOME, by gap. By hand: the gap from the two instants,
# then the rules in their order (joined? planned? LWBS? strictly after?).
CANDIDATES = [
    Candidate(
        10000032, 32952584, "2180-07-23 05:54:00", 39399961, "2180-07-23 05:54:00", "admitted",
        False, "touches its predecessor at the same hospital: one visit, and it ended in admission",
    ),
    Candidate(
        10005866, 31023359, "2149-09-28 16:26:00", 31121963, "2149-10-01 02:07:00", "admitted",
        True, "57 h 41 min, admitted: counts in 72 h",
    ),
    Candidate(
        10023239, 36323598, "2140-09-14 20:02:00", 31270431, "2140-09-17 11:35:00", "home",
        True, "63 h 33 min, sent home again: a return without admission",
    ),
    Candidate(
        10040025, 35353291, "2147-12-01 13:23:00", 32095131, "2147-12-04 13:11:00", "admitted",
        True, "71 h 48 min, admitted: counts, twelve minutes before the window closes",
    ),
    Candidate(
        10018423, 39057874, "2167-04-29 16:53:00", 33032677, "2167-05-03 15:18:00", "admitted",
        True, "94 h 25 min, admitted: outside 72 h, inside 7 d",
    ),
    Candidate(
        10016742, 33211001, "2178-07-18 02:27:00", 33335871, "2178-07-22 05:41:00", "admitted",
        True, "99 h 14 min, admitted: outside 72 h, inside 7 d",
    ),
    Candidate(
        10014354, 39105638, "2149-03-05 14:59:00", 37145382, "2149-03-13 21:20:00", "lwbs",
        False, "8 d 6 h, left without being seen: no return, and the next visit is months away",
    ),
    Candidate(
        10023239, 31270431, "2140-09-17 15:00:00", 39348852, "2140-10-03 06:20:00", "admitted",
        True, "15 d 15 h, admitted: inside 30 d only",
    ),
    Candidate(
        10023239, 37578680, "2140-10-23 17:01:00", 35942924, "2140-11-11 11:28:00", "home",
        True, "18 d 18 h, sent home: inside 30 d only",
    ),
    Candidate(
        10023117, 31588683, "2171-10-12 14:33:00", 31283645, "2171-11-07 17:40:00", "admitted",
        True, "26 d 3 h, admitted: inside 30 d only",
    ),
    Candidate(
        10012853, 39028384, "2176-09-09 13:02:00", 35933027, "2176-10-06 00:32:00", "home",
        True, "26 d 11 h, sent home: inside 30 d only",
    ),
    Candidate(
        10012853, 33256413, "2176-08-11 17:35:00", 39028384, "2176-09-09 08:03:00", "home",
        True, "28 d 14 h, sent home: inside 30 d only",
    ),
]  # fmt: skip

RETURNS_72H = {31023359: 31121963, 36323598: 31270431, 35353291: 32095131}
ADMITTED_72H = {31023359: 31121963, 35353291: 32095131}
ADMITTED_7D = {**ADMITTED_72H, 39057874: 33032677, 33211001: 33335871}


def returns_within(hours: int, *, admitted: bool) -> dict[int, int]:
    """The hand-made table as an answer: index stay -> return stay."""
    return {
        item.stay: item.next_stay
        for item in CANDIDATES
        if item.is_return
        and item.gap <= timedelta(hours=hours)
        and (item.next_disposition == "admitted" or not admitted)
    }


def raw_pairs(
    visits: list[tuple[str, datetime, datetime, str, int]], *, after_home: bool
) -> list[tuple[int, int, timedelta]]:
    """Neighbours in each patient's list: (stay, next stay, gap), whatever the rules say.

    Args:
        visits: patient, arrival, departure, disposition, stay id.
    """
    ordered = sorted(visits, key=itemgetter(0, 1, 4))
    return [
        (before[4], after[4], after[1] - before[2])
        for before, after in pairwise(ordered)
        if before[0] == after[0] and (before[3] == "home" or not after_home)
    ]


def counts(pairs: list[tuple[int, int, timedelta]]) -> dict[str, int]:
    return {
        name: sum(gap <= timedelta(hours=hours) for _, _, gap in pairs)
        for name, hours in WINDOWS.items()
    }


@pytest.fixture(scope="module")
def from_file() -> list[tuple[str, datetime, datetime, str, int]]:
    return [
        (
            row["subject_id"],
            datetime.fromisoformat(row["intime"]),
            datetime.fromisoformat(row["outtime"]),
            mimic.DISPOSITIONS[row["disposition"]],
            int(row["stay_id"]),
        )
        for row in mimic.read("edstays")
    ]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("mimic") / "home"
    settings = operational.write_installation(home, mimic.operational_rows(), is_synthetic=False)
    pipeline.run_pipeline(settings)
    return settings


@pytest.fixture(scope="module")
def stays(installation: Settings) -> dict[str, int]:
    """Token -> stay id."""
    numbers = [int(row["stay_id"]) for row in mimic.read("edstays")]
    return pipeline.raw_visit_keys(installation, numbers)


def test_raw_gaps_of_the_file(from_file: list[tuple[str, datetime, datetime, str, int]]) -> None:
    assert len(from_file) == 222
    assert sum(visit[3] == "home" for visit in from_file) == 60
    assert counts(raw_pairs(from_file, after_home=True)) == {"72 h": 4, "7 d": 6, "30 d": 12}
    assert counts(raw_pairs(from_file, after_home=False)) == {"72 h": 7, "7 d": 15, "30 d": 52}


def test_hand_made_table_misses_no_candidate(
    from_file: list[tuple[str, datetime, datetime, str, int]],
) -> None:
    pairs = raw_pairs(from_file, after_home=True)
    found = {pair for pair in pairs if pair[2] <= timedelta(days=30)}
    assert {(item.stay, item.next_stay, item.gap) for item in CANDIDATES} == found
    dispositions = {visit[4]: visit[3] for visit in from_file}
    assert all(dispositions[item.next_stay] == item.next_disposition for item in CANDIDATES)


def test_hand_made_answers_follow_from_the_table() -> None:
    assert returns_within(72, admitted=False) == RETURNS_72H
    assert returns_within(72, admitted=True) == ADMITTED_72H
    assert returns_within(168, admitted=True) == ADMITTED_7D


@pytest.fixture(scope="module")
def oracle() -> Answer:
    rows = operational_registrations()
    people = rows.select("person_key").unique().with_columns(birth_on=None, deceased_on=None)
    return answer(rows, people.cast(PERSON_SCHEMA))


def operational_registrations() -> pl.DataFrame:
    visits = mimic.operational_rows()["ehr"]["ed_visits"]
    return pl.DataFrame(
        [
            {
                **{name: visit.get(name) for name in REGISTRATION_SCHEMA},
                "visit_key": str(visit["visit_id"]),
                "person_key": str(visit["patient_id"]),
                "hospital_key": visit["hospital_id"],
                "time_zone": "UTC",
            }
            for visit in visits
        ],
        schema=REGISTRATION_SCHEMA,
    )


@pytest.mark.parametrize("admitted", [True, False])
@pytest.mark.parametrize("hours", WINDOWS.values())
def test_oracle_agrees_with_the_table(oracle: Answer, hours: int, admitted: bool) -> None:
    pairs = oracle.pairs.filter(pl.col("elapsed") <= timedelta(hours=hours))
    if admitted:
        pairs = pairs.filter("is_return_admitted")
    found = {
        int(index): int(back)
        for index, back in pairs.select("index_visit_key", "return_visit_key").iter_rows()
    }
    assert found == returns_within(hours, admitted=admitted)
    totals = monthly_counts(
        oracle, [Measure("m", hours, requires_admission=admitted)], mimic.DATA_THROUGH
    )
    # 222 registrations, one pair of which touches; of 60 that went home, that pair's first is none.
    assert totals["all_visits_count"].sum() == 221
    assert totals["index_visits_count"].sum() == 59
    assert totals["numerator_count"].sum() == len(found)


def warehouse_visits(
    installation: Settings, stays: dict[str, int]
) -> list[tuple[str, datetime, datetime, str, int]]:
    rows = pipeline.query(
        installation.warehouse,
        """
        select person_key, arrived_at, departed_at, disposition_code, ed_visit_key
        from core.fct_ed_visits
        """,
    ).rows()
    return [(*row[:4], stays[row[4]]) for row in rows]


def test_all_registrations_are_in_the_warehouse(
    installation: Settings, stays: dict[str, int]
) -> None:
    visits = warehouse_visits(installation, stays)
    assert len(visits) == 222
    assert {visit[4] for visit in visits} == set(stays.values())
    assert len({visit[0] for visit in visits}) == 64


def test_raw_gaps_of_the_warehouse(installation: Settings, stays: dict[str, int]) -> None:
    visits = warehouse_visits(installation, stays)
    assert counts(raw_pairs(visits, after_home=True)) == {"72 h": 4, "7 d": 6, "30 d": 12}
    assert counts(raw_pairs(visits, after_home=False)) == {"72 h": 7, "7 d": 15, "30 d": 52}


def test_instants_arrive_to_the_second(
    installation: Settings,
    stays: dict[str, int],
    from_file: list[tuple[str, datetime, datetime, str, int]],
) -> None:
    visits = warehouse_visits(installation, stays)
    assert sorted(visit[1:] for visit in visits) == sorted(visit[1:] for visit in from_file)


@pytest.mark.parametrize("admitted", [True, False])
@pytest.mark.parametrize("hours", WINDOWS.values())
def test_returns_of_the_warehouse(
    installation: Settings, stays: dict[str, int], hours: int, admitted: bool
) -> None:
    pairs = pipeline.query(
        installation.warehouse,
        f"""
        select index_visit_key, return_visit_key
        from core.fct_ed_returns
        where elapsed_seconds <= {hours * 3600}
        {"and is_return_admitted" if admitted else ""}
        """,
    ).rows()
    found = {stays[index]: stays[back] for index, back in pairs}
    assert found == returns_within(hours, admitted=admitted)


def test_index_visits_are_59_of_the_60_sent_home(
    installation: Settings, stays: dict[str, int]
) -> None:
    keys = pipeline.query(installation.warehouse, "select index_visit_key from core.fct_ed_returns")
    sent_home = {visit[4] for visit in warehouse_visits(installation, stays) if visit[3] == "home"}
    found = {stays[key] for key in keys["index_visit_key"]}
    assert len(found) == 59
    # The 60th is followed within the same second by its own continuation.
    assert sent_home - found == {32952584}


@pytest.mark.parametrize(
    ("measure", "numerator"),
    [("ed_return_72h_admitted", len(ADMITTED_72H)), ("ed_return_72h_any", len(RETURNS_72H))],
)
def test_monthly_mart(installation: Settings, measure: str, numerator: int) -> None:
    totals = pipeline.query(
        installation.warehouse,
        f"""
        select
            sum(numerator_count) as numerator_count,
            sum(index_visits_count) as index_visits_count,
            sum(all_visits_count) as all_visits_count
        from marts.rpt_ed_returns_monthly
        where measure_code = '{measure}'
        """,
    )
    assert [int(value) for value in totals.row(0)] == [numerator, 59, 221]


def test_what_has_no_place_is_counted(installation: Settings) -> None:
    """Of 545 diagnoses 249 are ICD-9 and one (T81.4XXA) has left ICD-10-CM; nothing else."""
    rows = pipeline.query(
        installation.warehouse,
        "select table_name, column_name, row_count from quality.rpt_quarantine",
    ).rows()
    assert [tuple(map(str, row)) for row in rows] == [
        ("ed_visit_diagnoses", "diagnosis_code", "250")
    ]


def test_measurements_arrive_whole(installation: Settings) -> None:
    """One observation per number in the file, medications by the ingredients that have a code."""
    content = mimic.operational_rows()["ehr"]
    for name, table in (("observations", "fct_observations"), ("medications", "fct_medications")):
        found = pipeline.one_value(installation.warehouse, f"select count(*) from core.{table}")
        assert found == len(content[name]), name
    # From the file: 1,008 heart rates, whose sum is exact in decimals.
    wanted = sum(int(row["heartrate"]) for row in mimic.read("vitalsign") if row["heartrate"])
    total = pipeline.one_value(
        installation.warehouse,
        "select sum(value) from core.fct_observations where observation_code = '8867-4'",
    )
    assert total == wanted
