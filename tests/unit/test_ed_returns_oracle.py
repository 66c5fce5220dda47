"""The oracle against the worked histories, and each rule that they leave open at its boundary."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from tests.helpers import histories
from tests.oracle.ed_return_measures import (
    ANY_72H,
    HEADLINE,
    Measure,
    flagged,
    monthly_counts,
)
from tests.oracle.ed_returns import PERSON_SCHEMA, REGISTRATION_SCHEMA, Answer, answer

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
FAR = datetime(2025, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


TABLES = (histories.SPECIFICATION, histories.BOUNDARIES)
WORKED = [(table, item) for table in TABLES for item in histories.load_expected(table)]


@pytest.mark.parametrize(
    ("table", "expected"), WORKED, ids=[str(item.example) for _, item in WORKED]
)
def test_worked_history(table: str, expected: histories.Expected) -> None:
    visits = histories.load_visits(table).filter(pl.col("example") == expected.example)
    result = answer(histories.registrations(visits), histories.persons(visits, [expected]))
    counts = monthly_counts(result, [HEADLINE], expected.data_through)
    pairs = flagged(result.pairs, HEADLINE, expected.data_through).filter("is_numerator")
    assert counts["numerator_count"].sum() == expected.numerator, expected.why
    assert counts["index_visits_count"].sum() == expected.index_visits, expected.why
    assert counts["all_visits_count"].sum() == expected.all_visits, expected.why
    wanted = [expected.attributed_visit] if expected.attributed_visit else []
    assert pairs["index_visit_key"].to_list() == wanted, expected.why


def test_every_step_of_the_worked_histories() -> None:
    """Legs, stays, index visits and returns one by one, as they were derived by hand."""
    visits = pl.concat([histories.load_visits(table) for table in TABLES], how="diagonal")
    result = answer(histories.registrations(visits), pl.DataFrame(schema=PERSON_SCHEMA))
    pairs = result.pairs.select(
        pl.col("index_visit_key").alias("visit_key"), "return_visit_key", "elapsed"
    )
    found = result.registrations.join(pairs, on="visit_key", how="left")
    steps = histories.load_steps()
    assert len(steps) == len(found) > 100
    assert {
        (leg, stay, visit, reason, back, gap and gap // timedelta(seconds=1))
        for leg, stay, visit, reason, back, gap in found.select(
            "leg_key", "stay_key", "visit_key", "exclusion_reason", "return_visit_key", "elapsed"
        ).iter_rows()
    } == {
        (leg, stay, visit, reason, back, gap and _seconds(gap))
        for leg, stay, visit, reason, back, gap in steps.select(
            "leg", "stay", "visit", "index_exclusion_reason", "return_visit", "elapsed"
        ).iter_rows()
    }


def _seconds(clock: str) -> int:
    whole, minutes, seconds = (int(part) for part in clock.split(":"))
    return whole * 3600 + minutes * 60 + seconds


def test_history_22_is_counted_in_may() -> None:
    visits = histories.load_visits().filter(pl.col("example") == 22)
    result = answer(
        histories.registrations(visits), histories.persons(visits, histories.load_expected())
    )
    counts = monthly_counts(result, [HEADLINE], FAR).filter(pl.col("numerator_count") > 0)
    assert counts["month_on"].to_list() == [date(2024, 5, 1)]


def visit(
    key: str, arrived: datetime, left: datetime | None, how: str | None, **more: Any
) -> dict[str, Any]:
    return {
        "visit_key": key,
        "person_key": "p",
        "hospital_key": "A",
        "time_zone": "UTC",
        "arrived_at": arrived,
        "departed_at": left,
        "disposition_at": None,
        "disposition_code": how,
        "is_planned": False,
        "main_diagnosis_code": None,
        **more,
    }


def solve(*visits: dict[str, Any], died: date | None = None, born: date | None = None) -> Answer:
    person = {"person_key": "p", "birth_on": born, "deceased_on": died}
    return answer(
        pl.DataFrame(list(visits), schema=REGISTRATION_SCHEMA),
        pl.DataFrame([person], schema=PERSON_SCHEMA),
    )


def totals(result: Answer, measure: Measure = HEADLINE, through: datetime = FAR) -> tuple[int, ...]:
    counts = monthly_counts(result, [measure], through)
    return tuple(
        int(counts[f"{name}_count"].sum()) for name in ("numerator", "index_visits", "all_visits")
    )


def test_departure_is_the_decision_where_leaving_was_not_recorded() -> None:
    # Decided at noon, back 72 h later: counts; against the arrival at 08:00 it would be 76 h.
    first = visit("a", NOON - hours(4), None, "home", disposition_at=NOON)
    back = visit("b", NOON + hours(72), NOON + hours(80), "admitted")
    assert totals(solve(first, back)) == (1, 1, 2)


def test_home_without_any_departure_cannot_be_an_index_visit() -> None:
    first = visit("a", NOON, None, "home")
    back = visit("b", NOON + hours(5), NOON + hours(8), "admitted")
    result = solve(first, back)
    assert totals(result) == (0, 0, 2)
    reasons = dict(result.registrations.select("visit_key", "exclusion_reason").iter_rows())
    assert reasons == {"a": "no_departure", "b": "admitted"}


def test_departure_before_arrival_is_taken_as_the_arrival() -> None:
    # A typing error in the departure may neither lengthen nor shorten the window from arrival.
    first = visit("a", NOON, NOON - hours(9), "home")
    back = visit("b", NOON + hours(72), NOON + hours(80), "admitted")
    late = visit("b", NOON + hours(72) + SECOND, NOON + hours(80), "admitted")
    assert totals(solve(first, back)) == (1, 1, 2)
    assert totals(solve(first, late)) == (0, 1, 2)


def test_long_registration_joins_all_that_it_covers() -> None:
    # The second leaves early; the third still starts inside the first.
    rows = (
        visit("a", NOON, NOON + hours(10), "home"),
        visit("b", NOON + hours(1), NOON + hours(2), "admitted"),
        visit("c", NOON + hours(9), NOON + hours(9.5), "admitted"),
    )
    result = solve(*rows)
    assert result.registrations["leg_key"].unique().to_list() == ["a"]
    assert result.legs["disposition_code"].to_list() == [
        "home"
    ]  # who leaves last has the last word
    assert totals(result) == (0, 1, 1)


def test_open_registration_has_the_last_word_of_its_leg() -> None:
    closed = visit("a", NOON, NOON + hours(4), "home")
    still_open = visit("b", NOON + hours(1), None, None)
    assert totals(solve(closed, still_open)) == (0, 0, 1)


@pytest.mark.parametrize(
    ("gap", "hospital", "expected"),
    [
        (hours(24), "B", (1, 1, 3)),  # one stay: the return is the transfer chain's admission
        (hours(24) + SECOND, "B", (0, 1, 3)),  # the return ended as a transfer; B is another stay
        (hours(1), "A", (0, 1, 3)),  # back to the same hospital is no transfer
    ],
)
def test_transfer_window_is_24_hours_to_another_hospital(
    gap: timedelta, hospital: str, expected: tuple[int, ...]
) -> None:
    sent = NOON + hours(10)
    result = solve(
        visit("a", NOON - hours(4), NOON, "home"),
        visit("b", NOON + hours(8), sent, "transferred"),
        visit("c", sent + gap, sent + gap + hours(3), "admitted", hospital_key=hospital),
    )
    assert totals(result) == expected


def test_only_adjacent_legs_are_chained() -> None:
    # Between the transfer and its arrival the patient was seen elsewhere and sent home.
    result = solve(
        visit("a", NOON, NOON + hours(1), "transferred"),
        visit("b", NOON + hours(2), NOON + hours(3), "home", hospital_key="B"),
        visit("c", NOON + hours(4), NOON + hours(5), "admitted", hospital_key="C"),
    )
    stays = dict(result.registrations.select("visit_key", "stay_key").iter_rows())
    assert stays == {"a": "a", "b": "a", "c": "c"}
    assert totals(result) == (1, 1, 3)


def test_shared_return_stays_with_the_index_left_last() -> None:
    result = solve(
        visit("a", NOON, NOON + hours(6), "home"),
        visit("b", NOON + hours(1), NOON + hours(5), "home", hospital_key="B"),
        visit("c", NOON + hours(8), NOON + hours(9), "admitted"),
    )
    returns = dict(result.pairs.select("index_visit_key", "return_visit_key").iter_rows())
    assert returns == {"a": "c", "b": None}
    assert totals(result) == (1, 2, 3)


@pytest.mark.parametrize(
    ("second_arrival", "keeper"), [(NOON + hours(1), "b"), (NOON, "b"), (NOON - hours(1), "a")]
)
def test_shared_return_tie_goes_to_later_arrival_then_larger_key(
    second_arrival: datetime, keeper: str
) -> None:
    result = solve(
        visit("a", NOON, NOON + hours(6), "home"),
        visit("b", second_arrival, NOON + hours(6), "home", hospital_key="B"),
        visit("c", NOON + hours(8), NOON + hours(9), "admitted"),
    )
    kept = result.pairs.filter(pl.col("return_visit_key").is_not_null())
    assert kept["index_visit_key"].to_list() == [keeper]


def test_two_stays_starting_together_the_smaller_key_is_the_return() -> None:
    result = solve(
        visit("a", NOON, NOON + hours(1), "home"),
        visit("c", NOON + hours(5), NOON + hours(6), "home", hospital_key="C"),
        visit("b", NOON + hours(5), NOON + hours(6), "admitted", hospital_key="B"),
    )
    assert result.pairs.filter(index_visit_key="a")["return_visit_key"].to_list() == ["b"]


def test_planned_transfer_arrival_does_not_make_the_stay_planned() -> None:
    result = solve(
        visit("a", NOON - hours(4), NOON, "home"),
        visit("b", NOON + hours(8), NOON + hours(10), "transferred"),
        visit(
            "c", NOON + hours(11), NOON + hours(12), "admitted", hospital_key="B", is_planned=True
        ),
    )
    assert totals(result) == (1, 1, 3)


def test_unlinkable_registrations_are_never_joined_and_never_index() -> None:
    rows = [visit(key, NOON, NOON + hours(2), "home", person_key=None) for key in ("a", "b")]
    assert totals(solve(*rows)) == (0, 0, 2)


@pytest.mark.parametrize(("short_by", "counted"), [(timedelta(0), 1), (SECOND, 0)])
def test_follow_up_is_complete_at_the_very_second(short_by: timedelta, counted: int) -> None:
    result = solve(visit("a", NOON - hours(4), NOON, "home"))
    through = NOON + hours(72) - short_by
    assert totals(result, through=through) == (0, counted, counted)


@pytest.mark.parametrize(("through_day", "counted"), [(3, 1), (2, 0)])
def test_death_completes_follow_up_once_its_day_is_over(through_day: int, counted: int) -> None:
    result = solve(visit("a", NOON - hours(4), NOON, "home"), died=date(2024, 6, 2))
    through = datetime(2024, 6, through_day, tzinfo=UTC)
    assert totals(result, through=through) == (0, counted, counted)


def test_death_in_the_ed_completes_follow_up_of_that_visit() -> None:
    result = solve(visit("a", NOON - hours(4), NOON, "died"))
    assert totals(result, through=NOON + hours(1)) == (0, 0, 1)


def test_open_return_past_the_window_leaves_the_outcome_known() -> None:
    first = visit("a", NOON - hours(4), NOON, "home")
    inside = visit("b", NOON + hours(72), None, None)
    outside = visit("b", NOON + hours(72) + SECOND, None, None)
    assert totals(solve(first, inside)) == (0, 0, 2)
    assert totals(solve(first, outside)) == (0, 1, 2)
    assert totals(solve(first, inside), ANY_72H) == (0, 0, 2)


SEPSIS = Measure(
    "sepsis", 168, True, return_group=(("A40", None), ("A41", None)), maximum_age_years=17
)
SENTINEL = Measure("sentinel", 168, True, return_group=(("I21", None), ("A41", 17)))


@pytest.mark.parametrize(
    ("born", "counted"), [(date(2006, 6, 4), 1), (date(2006, 6, 3), 0), (None, 0)]
)
def test_age_is_completed_years_on_the_day_of_return(born: date | None, counted: int) -> None:
    back = NOON + hours(48)  # 3 June 2024: eighteen on that day is no longer seventeen
    result = solve(
        visit("a", NOON - hours(4), NOON, "home"),
        visit("b", back, back + hours(5), "admitted", main_diagnosis_code="A419"),
        born=born,
    )
    assert totals(result, SEPSIS)[0] == counted
    assert totals(result, SENTINEL)[0] == counted


def test_age_cap_of_one_diagnosis_spares_the_others() -> None:
    result = solve(
        visit("a", NOON - hours(4), NOON, "home"),
        visit("b", NOON + hours(2), NOON + hours(5), "admitted", main_diagnosis_code="I214"),
        born=date(1950, 1, 1),
    )
    assert totals(result, SENTINEL) == (1, 1, 2)
    assert totals(result, SEPSIS) == (0, 1, 2)


def test_discharge_diagnosis_outranks_the_diagnosis_of_the_ed() -> None:
    rows = pl.DataFrame(
        [
            visit("a", NOON - hours(4), NOON, "home"),
            visit("b", NOON + hours(2), NOON + hours(5), "admitted", main_diagnosis_code="A419"),
        ],
        schema=REGISTRATION_SCHEMA,
    )
    people = pl.DataFrame([("p", date(2015, 1, 1), None)], schema=PERSON_SCHEMA, orient="row")
    stay = pl.DataFrame(
        {
            "encounter_key": ["e2", "e1"],
            "visit_key": ["b", "b"],
            "admitted_at": [NOON + hours(9), NOON + hours(5)],
            "main_diagnosis_code": ["A400", "I214"],
        }
    )
    assert answer(rows, people).pairs["return_diagnosis_code"].to_list() == ["A419"]
    assert answer(rows, people, stay).pairs["return_diagnosis_code"].to_list() == ["I214"]
