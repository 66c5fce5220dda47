"""Joining two releases by their contents, in worlds small enough to count by hand."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from ops.release.linkage import Linkage, attacker, join_releases, measure_linkage
from tests.helpers.release_files import Patient, Visit, write_files


def measured(
    tmp_path: Path, new: dict[int, Patient], earlier: dict[int, Patient], *common: int
) -> dict[str, Linkage]:
    ours, theirs = write_files(tmp_path / "new", new), write_files(tmp_path / "earlier", earlier)
    found = measure_linkage(ours, theirs, pa.array(common, pa.int64()), tmp_path)
    return {one.way: one for one in found}


ASTHMA = Patient(visits=(Visit(ccsr=("RSP009",), acuity="3"),))


def test_links_counted_by_hand(tmp_path: Path) -> None:
    """Of three persons with asthma nobody is linked, of two with a fracture neither. The one with
    gout has one partner. Gout's own person and both fractures stand in both: a guess finds gout
    surely, and each fracture, of which the earlier release has three, once in three times."""
    gout = replace(ASTHMA, visits=(Visit(ccsr=("MUS024",), acuity="4"),))
    fracture = replace(ASTHMA, sex="M")
    new = {1: ASTHMA, 2: ASTHMA, 3: ASTHMA, 4: fracture, 5: fracture, 6: gout}
    earlier = {11: ASTHMA, 14: fracture, 15: fracture, 16: fracture, 17: gout}
    found = measured(tmp_path, new, earlier, 4, 5, 6)
    assert set(found) == {"everything", "unchanged"}
    assert found["everything"] == Linkage("everything", 6, 3, 1, 1, pytest.approx(1 + 2 / 3))
    assert found["everything"].possible_share == pytest.approx(1 / 6)
    assert found["everything"].guessed_share == pytest.approx(5 / 9)
    # Without diagnoses and acuity gout is one of four women, and of the earlier two.
    assert found["unchanged"] == Linkage("unchanged", 6, 3, 0, 0, pytest.approx(1 / 2 + 2 / 3))


def test_a_link_of_somebody_who_is_not_in_both_is_wrong(tmp_path: Path) -> None:
    found = measured(tmp_path, {1: ASTHMA}, {11: ASTHMA})["everything"]
    assert (found.linked_count, found.possible_count) == (1, 0)
    assert found.possible_share == found.guessed_share == 0


def test_another_level_of_generalisation_does_not_stop_an_attacker(tmp_path: Path) -> None:
    """Her diagnoses are chapters now and were categories then: her intervals did not change."""
    stays = (Visit(ccsr=("RSP009",)), Visit("1-3", ccsr=("RSP009",)))
    coarse = (Visit(chapters=("10",)), Visit("1-3", chapters=("10",)))
    found = measured(
        tmp_path,
        {1: Patient(visits=coarse), 2: ASTHMA},
        {11: Patient(visits=stays), 12: ASTHMA},
        1,
        2,
    )
    assert found["everything"].possible_count == 1
    assert found["unchanged"].possible_count == 2


def test_nothing_shown_is_not_an_empty_value(tmp_path: Path) -> None:
    found = measured(
        tmp_path, {1: Patient(visits=(Visit(None),))}, {11: Patient(visits=(Visit(""),))}, 1
    )
    assert found["everything"].linked_count == found["unchanged"].linked_count == 0


def test_days_between_visits_survive_a_shift(tmp_path: Path) -> None:
    """Both women came twice within a month. The distance of 17 days tells one from that of 20."""

    def twice(first: dt.date, days: int) -> Patient:
        second = first + dt.timedelta(days)
        return Patient(year=None, visits=(Visit(day=first), Visit("4-30", day=second)))

    new = {1: twice(dt.date(2024, 3, 1), 17), 2: twice(dt.date(2024, 5, 9), 20)}
    earlier = {11: twice(dt.date(2024, 2, 2), 17), 12: twice(dt.date(2024, 6, 1), 20)}
    found = measured(tmp_path, new, earlier, 1, 2)
    assert {way: one.possible_count for way, one in found.items()} == {
        "everything": 2,
        "unchanged": 2,
        # Every release moves days anew.
        "days": 0,
    }


def test_a_shift_that_was_not_drawn_anew_is_found(tmp_path: Path) -> None:
    """One visit each on days of their own, moved alike in both releases."""
    patients = {
        key: Patient(year=None, visits=(Visit(day=dt.date(2024, 1, key)),)) for key in (1, 2, 3)
    }
    found = measured(tmp_path, patients, patients, 1, 2, 3)
    assert found["everything"].possible_count == 0
    assert found["days"].possible_count == 3


def test_links_name_the_right_persons(tmp_path: Path) -> None:
    new = {number: Patient(age=f"band {number}") for number in range(1, 6)}
    earlier = {100 + number: Patient(age=f"band {number}") for number in range(3, 9)}
    with attacker(tmp_path) as connection:
        join_releases(
            connection, write_files(tmp_path / "a", new), write_files(tmp_path / "b", earlier)
        )
        rows = connection.execute(
            "select person, partner from partners_everything order by all"
        ).fetchall()
    assert rows == [(3, 103), (4, 104), (5, 105)]
