"""dbt unit tests from worked histories: inputs and outputs of each model.

A dbt unit test looks at one model and its direct inputs: each history is therefore told step by
step, the hand-derived answer of one step being the input of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ops.histories.steps import (
    HEADLINE,
    Row,
    departures,
    followed_legs,
    index_visits,
    leg_outcomes,
    legs_in_stays,
    measured,
    monthly_counts,
    pick,
    registrations_in_legs,
    stay_outcomes,
)
from ops.histories.worked import SEEDS, History, read_rows

ONE_HOUR = 3600
DAYS_OF_PLENTY = 30
HISTORIES_IN_A_TEST = 15
# The same rows for every history; where they are not, the histories cannot stand in one test.
SHARED_INPUTS = frozenset(
    {
        "dim_diagnosis_groups",
        "dim_snapshots",
        "ed_admission_type_rules",
        "ed_disposition_rules",
        "ed_return_measures",
        "ed_return_rules",
        "int_snapshots__completeness",
    }
)


@dataclass(frozen=True)
class UnitTest:
    """One dbt unit test: rows per input, and the rows that must come out."""

    name: str
    model: str
    description: str
    given: dict[str, list[Row]]
    expect: list[Row]
    example: int = 0


def departure_test(history: History) -> UnitTest | None:
    """Where a departure is missing or impossible, or the month depends on the clock."""
    unusual = any(
        visit.departed_at is None
        or visit.departed_at < visit.arrived_at
        or f"{visit.arrived_at:%Y-%m}" != visit.arrived_local[:7]
        for visit in history.visits
    )
    visits: list[Row] = [
        {
            "ed_visit_key": visit.key,
            "registration_key": visit.person,
            "hospital_key": visit.hospital,
            "disposition_code": visit.disposition,
            "is_planned": visit.is_planned,
            "arrived_at": visit.arrived_at,
            "disposition_at": visit.decided_at,
            "departed_at": visit.departed_at,
        }
        for visit in history.visits
    ]
    zones = {visit.hospital: visit.time_zone for visit in history.visits}
    persons = {visit.person for visit in history.visits if visit.person}
    given: dict[str, list[Row]] = {
        "stg_ehr__ed_visits": visits,
        "int_ed_visits__main_diagnoses": [],
        "int_registrations__persons": [
            {"registration_key": person, "person_key": person} for person in sorted(persons)
        ],
        "stg_ehr__hospitals": [
            {"hospital_key": hospital, "time_zone": zone} for hospital, zone in zones.items()
        ],
    }
    return _test(history, "int_ed_visits__departures", given, departures(history), unusual)


def legs_test(history: History) -> UnitTest | None:
    """Where registrations at one hospital touch, overlap or lie close together."""
    near = any(
        earlier is not later
        and earlier.hospital == later.hospital
        and 0 <= (later.arrived_at - earlier.arrived_at).total_seconds()
        and (later.arrived_at - earlier.effective_departed_at).total_seconds() <= ONE_HOUR
        for earlier in history.visits
        for later in history.visits
    )
    given = {"int_ed_visits__departures": departures(history)}
    columns = ("ed_visit_key", "leg_key", "leaving_rank", "is_joined")
    expect = pick(registrations_in_legs(history), *columns)
    return _test(history, "int_ed_visits__legs", given, expect, near)


def leg_outcomes_test(history: History) -> UnitTest | None:
    """Where registrations were joined: which of them has the last word."""
    joined = len(history.legs()) < len(history.visits)
    given = {
        "int_ed_visits__legs": registrations_in_legs(history),
        "ed_disposition_rules": seed_rows("ed_disposition_rules"),
    }
    columns = ("leg_key", "last_visit_key", "disposition_code", "exclusion_code", "departed_at")
    expect = pick(leg_outcomes(history), *columns)
    return _test(history, "int_ed_legs__outcomes", given, expect, joined)


def stays_test(history: History) -> UnitTest | None:
    """Where somebody was transferred."""
    transferred = any(visit.disposition == "transferred" for visit in history.visits)
    given = {
        "int_ed_legs__follow_up": followed_legs(history),
        "ed_return_rules": seed_rows("ed_return_rules"),
    }
    expect = pick(legs_in_stays(history), "leg_key", "stay_key", "is_last_leg")
    return _test(history, "int_ed_legs__stays", given, expect, transferred)


def stay_outcomes_test(history: History) -> UnitTest | None:
    """Where a stay has several legs, or may be no index visit or no return."""
    telling = len(history.stays()) < len(history.legs()) or any(
        visit.may_return is False or visit.exclusion_reason in ("open", "no_departure")
        for visit in history.visits
    )
    given = {
        "int_ed_legs__stays": legs_in_stays(history),
        "int_ed_stays__discharge_diagnoses": [],
    }
    expect = pick(
        stay_outcomes(history),
        "stay_key",
        "hospital_key",
        "last_hospital_key",
        "index_visit_key",
        "outcome_code",
        "follow_up_seconds",
        "is_index",
        "is_return_candidate",
        "index_month_on",
    )
    return _test(history, "int_ed_stays__outcomes", given, expect, telling)


def returns_test(history: History) -> UnitTest | None:
    """Every history with an index visit: which return it has."""
    given = {"int_ed_stays__outcomes": stay_outcomes(history)}
    expect: list[Row] = []
    for stay in history.index_stays():
        index = history.leg(history.stay(stay)[-1])[0]
        expect.append({"stay_key": stay, "return_stay_key": index.return_visit})
    return _test(history, "int_ed_stays__returns", given, expect, bool(expect))


def follow_up_test(history: History) -> UnitTest | None:
    """Where a death, or the end of the data, decides."""
    died = any(visit.disposition == "died" for visit in history.visits)
    given: dict[str, list[Row]] = {
        "int_ed_legs__outcomes": leg_outcomes(history),
        "int_persons__attributes": [
            {"person_key": history.visits[0].person, "deceased_on": str(history.died_on)}
            for _ in range(1 if history.died_on else 0)
        ],
        "int_snapshots__completeness": [{"data_through_at": history.data_through}],
    }
    expect: list[Row] = [
        {"leg_key": leg, "follow_up_seconds": history.follow_up_seconds(leg)}
        for leg in history.legs()
    ]
    decides = died or _ends_early(history)
    return _test(history, "int_ed_legs__follow_up", given, expect, decides)


def _ends_early(history: History) -> bool:
    last = max(history.departed_at(leg) for leg in history.legs())
    return (history.data_through - last).days < DAYS_OF_PLENTY


def measured_test(history: History) -> UnitTest | None:
    """Every history with an index visit that has a return, or whose data end early."""
    rows = index_visits(history)
    telling = any(row["return_visit_key"] for row in rows) or _ends_early(history)
    given: dict[str, list[Row]] = {
        "int_ed_index_visits__paired": [
            {"pairing_code": "after_discharge_home", **row} for row in rows
        ],
        "ed_return_measures": _headline(),
        "dim_diagnosis_groups": [],
    }
    expect = pick(measured(history), "measure_code", "index_visit_key", "is_counted")
    return _test(history, "fct_ed_measured_returns", given, expect, bool(rows) and telling)


def monthly_test(history: History) -> UnitTest | None:
    """Every history: the counts by hospital and month."""
    given: dict[str, list[Row]] = {
        "int_ed_legs__stays": legs_in_stays(history),
        "fct_ed_measured_returns": measured(history),
        "ed_return_measures": _headline(),
        "dim_snapshots": [{"data_through_at": history.data_through}],
    }
    return _test(history, "rpt_ed_returns_monthly", given, monthly_counts(history), True)


def reasons_tests(histories: list[History]) -> Iterator[UnitTest]:
    """For each reason to be no index visit, the first history that shows it."""
    seen: set[str | None] = set()
    for history in histories:
        reasons = {visit.exclusion_reason for visit in history.visits}
        if reasons <= seen:
            continue
        seen |= reasons
        given = {
            "int_ed_visits__legs": registrations_in_legs(history),
            "int_ed_legs__stays": legs_in_stays(history),
        }
        expect: list[Row] = [
            {"ed_visit_key": visit.key, "index_exclusion_reason": visit.exclusion_reason}
            for visit in history.visits
        ]
        test = _test(history, "int_ed_visits__exclusions", given, expect, True)
        if test:
            yield test


def _headline() -> list[Row]:
    return [row for row in seed_rows("ed_return_measures") if row["measure_code"] == HEADLINE]


def seed_rows(seed: str) -> list[Row]:
    """A seed as a unit test is given it: without the columns that only people read."""
    wordy = ("source", "verified", "definition", "measure_name", "unit")
    return [
        {name: value or None for name, value in row.items() if name not in wordy}
        for row in read_rows(SEEDS / f"{seed}.csv")
    ]


def _test(
    history: History, model: str, given: dict[str, list[Row]], expect: list[Row], is_wanted: bool
) -> UnitTest | None:
    if not is_wanted:
        return None
    description = f"History {history.example}: {history.why}."
    return UnitTest(history.name, model, description, given, expect, history.example)


STEPS: tuple[Callable[[History], UnitTest | None], ...] = (
    departure_test,
    legs_test,
    leg_outcomes_test,
    stays_test,
    stay_outcomes_test,
    returns_test,
    follow_up_test,
    measured_test,
    monthly_test,
)


def unit_tests(histories: list[History]) -> list[UnitTest]:
    """All unit tests that the histories give, model by model, many histories in each.

    A unit test costs a query on DuckDB and seconds on Spark; histories that share no person, visit
    or hospital cannot change each other's answers.
    """
    tests = [test for step in STEPS for history in histories if (test := step(history))]
    tests += reasons_tests(histories)
    return together(tests)


def together(tests: list[UnitTest]) -> list[UnitTest]:
    """The same tests in fewer: those of one model whose shared inputs are the same."""
    grouped: dict[tuple[str, str], list[UnitTest]] = {}
    for test in tests:
        shared = {name: rows for name, rows in test.given.items() if name in SHARED_INPUTS}
        grouped.setdefault((test.model, str(shared)), []).append(test)
    return [
        _as_one(alike[start : start + HISTORIES_IN_A_TEST])
        for alike in grouped.values()
        for start in range(0, len(alike), HISTORIES_IN_A_TEST)
    ]


def _as_one(tests: list[UnitTest]) -> UnitTest:
    """One test of several histories; the number of each stands before its keys of hospitals."""
    if len(tests) == 1:
        return tests[0]
    first = tests[0]
    given = {
        name: rows
        if name in SHARED_INPUTS
        else [row for test in tests for row in _numbered(test, test.given[name])]
        for name, rows in first.given.items()
    }
    expect = [row for test in tests for row in _numbered(test, test.expect)]
    told = "\n".join(test.description for test in tests)
    name = f"histories_{first.example}_to_{tests[-1].example}"
    return UnitTest(name, first.model, told, given, expect)


def _numbered(test: UnitTest, rows: list[Row]) -> list[Row]:
    return [
        {
            name: f"{test.example}{value}" if value and name.endswith("hospital_key") else value
            for name, value in row.items()
        }
        for row in rows
    ]
