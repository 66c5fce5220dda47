"""Looking for persons in a release by what is known of them: worlds with answers by hand."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest

from ops.release.noisy_match import Match, Noise, Truth, measure_match, most_targets
from tests.helpers.release_files import Patient, Visit, write_files

NO_NOISE = Noise(known_share=1.0, days_off=0, wrong_share=0.0)
# person, day, acuity, disposition, ccsr; all women born in 2000.
Known = tuple[str, dt.date, str, str, str]
DAY = dt.date(2024, 5, 1)


def truth_of(*known: Known) -> Truth:
    people = sorted({row[0] for row in known})
    return Truth(
        pa.table(
            {
                "person": people,
                "sex_code": ["F"] * len(people),
                "birth_on": pa.array([dt.date(2000, 1, 1)] * len(people)),
                "postal_code": ["10001"] * len(people),
            }
        ),
        pa.table(
            {
                "person": [row[0] for row in known],
                "stay": [f"{row[0]}-{number}" for number, row in enumerate(known)],
                "day": pa.array([row[1] for row in known], pa.date32()),
                "peer_group_code": ["teaching"] * len(known),
                "acuity_code": [row[2] for row in known],
                "arrival_mode_code": ["walk_in"] * len(known),
                "disposition_code": [row[3] for row in known],
                "minutes": pa.array([90] * len(known), pa.int64()),
            }
        ),
        pa.table(
            {
                "stay": [f"{row[0]}-{number}" for number, row in enumerate(known)],
                "ccsr_code": [row[4] for row in known],
                "chapter_code": [row[4][:1] for row in known],
            }
        ),
    )


def ids_of(**released: int) -> pa.Table:
    return pa.table(
        {
            "person": pa.array(list(released), pa.string()),
            "released": pa.array(list(released.values()), pa.int64()),
        }
    )


def measured(
    tmp_path: Path,
    patients: dict[int, Patient],
    truth: Truth,
    ids: pa.Table,
    noise: Noise = NO_NOISE,
) -> Match:
    directory = write_files(tmp_path / "files", patients)
    return measure_match(directory, truth, ids, seed=1, spill=tmp_path, noise=noise)


def coded(*codes: str, acuity: str = "3") -> Patient:
    return Patient(visits=tuple(Visit(ccsr=(code,), acuity=acuity) for code in codes))


def test_a_rare_code_names_its_bearer(tmp_path: Path) -> None:
    """Of eight, one bears Z: 3 bits, the others share A. Anna's record has score 3, all others 0
    (acuity, year and the number of visits are everybody's: no bits). Mean 3/8, mean of the squares
    9/8, deviation 0.99: she stands out by three of them."""
    patients = {number: coded("A") for number in range(1, 8)} | {8: coded("Z")}
    found = measured(tmp_path, patients, truth_of(("anna", DAY, "3", "home", "Z")), ids_of(anna=8))
    assert found == Match(1, 1, 1, 1, 1.0)
    assert (found.precision, found.recall, found.guessed_share) == (1, 1, 1)


def test_who_looks_like_others_is_only_guessed(tmp_path: Path) -> None:
    """Three of eight bear Z: the best record is theirs, and it is one in three which is hers."""
    patients = {number: coded("A" if number < 6 else "Z") for number in range(1, 9)}
    found = measured(tmp_path, patients, truth_of(("anna", DAY, "3", "home", "Z")), ids_of(anna=8))
    assert found == Match(1, 1, 0, 0, pytest.approx(1 / 3))
    assert found.precision is None


def test_somebody_else_s_record_is_named_wrongly(tmp_path: Path) -> None:
    """Anna is in the release with A; the attacker thinks of Z, which is another's."""
    patients = {number: coded("A") for number in range(1, 8)} | {8: coded("Z")}
    found = measured(
        tmp_path,
        patients,
        truth_of(("anna", DAY, "3", "home", "Z"), ("vera", DAY, "3", "home", "Z")),
        ids_of(anna=1),
    )
    # Vera is not in the release at all, and is named, too.
    assert found == Match(2, 1, 2, 0, 0.0)
    assert (found.precision, found.recall) == (0, 0)


def test_two_that_are_nearly_alike_are_not_named(tmp_path: Path) -> None:
    """Z and Y are known, one visit each (1 bit). Persons 7 and 8 each bear one, persons 1 to 6
    none; 8 has the acuity that is known, and 4 of all have: 1 bit more. 8 leads by 1 bit of 3 + 1.

    Scores: 8 has 3 + 1, 7 has 3, 1 to 3 have 1, 4 to 6 have 0. Mean 10/8, squares 28/8, deviation
    1.39; 1 is less than 1.5 of them."""
    patients = {number: coded("A", acuity="3" if number < 4 else "5") for number in range(1, 7)}
    patients |= {7: coded("Y", acuity="5"), 8: coded("Z", acuity="3")}
    twice = truth_of(("anna", DAY, "3", "home", "Z"), ("anna", DAY, "3", "home", "Y"))
    found = measured(tmp_path, patients, twice, ids_of(anna=8))
    assert (found.named_count, found.guessed_count) == (0, 1.0)


def test_days_between_visits_find_who_the_days_do_not(tmp_path: Path) -> None:
    """Dates were moved by 40 days; 17 days lie between hers, 18 to 24 between the others'."""
    first = DAY + dt.timedelta(40)
    patients = {
        number: Patient(
            year=None,
            visits=(Visit(day=first), Visit("4-30", day=first + dt.timedelta(16 + number))),
        )
        for number in range(1, 9)
    }
    truth = truth_of(
        ("anna", DAY, "3", "home", "A"), ("anna", DAY + dt.timedelta(17), "3", "home", "A")
    )
    assert measured(tmp_path, patients, truth, ids_of(anna=1)).right_count == 1


def test_days_that_were_not_moved_find_everybody(tmp_path: Path) -> None:
    """One visit each, on days of their own; two days of error in what is known are forgiven."""
    days = [DAY + dt.timedelta(10 * number) for number in range(8)]
    patients = {
        number: Patient(year=None, visits=(Visit(day=day),)) for number, day in enumerate(days)
    }
    names = "abcdefgh"
    truth = truth_of(
        *((name, day, "3", "home", "A") for name, day in zip(names, days, strict=True))
    )
    ids = ids_of(**{name: number for number, name in enumerate(names)})
    noise = Noise(known_share=1.0, days_off=2, wrong_share=0.0)
    assert measured(tmp_path, patients, truth, ids, noise) == Match(8, 8, 8, 8, 8.0)


def test_an_age_and_an_outcome_are_read_as_the_files_write_them(tmp_path: Path) -> None:
    """She turned 24 that year: 18-29. `died` is hospital, ninety minutes are under two hours."""
    patients = {number: Patient(visits=(Visit(outcome="home_or_other"),)) for number in range(1, 8)}
    patients[8] = Patient(visits=(Visit(outcome="hospital", length="<2h"),))
    found = measured(tmp_path, patients, truth_of(("anna", DAY, "1", "died", "A")), ids_of(anna=8))
    assert found.right_count == 1


def test_what_is_unknown_is_not_found(tmp_path: Path) -> None:
    patients = {number: coded("A") for number in range(1, 8)} | {8: coded("Z")}
    nothing = Noise(known_share=0.0, days_off=0, wrong_share=0.0)
    truth = truth_of(("anna", DAY, "3", "home", "Z"))
    assert measured(tmp_path, patients, truth, ids_of(anna=8), nothing) == Match(1, 1, 0, 0, 0.0)


def test_where_many_are_alike_fewer_are_looked_for(tmp_path: Path) -> None:
    alike = write_files(tmp_path / "few", {number: coded("A") for number in range(8)})
    assert most_targets(alike, tmp_path) == 1000
    many = write_files(tmp_path / "many", {number: coded("A") for number in range(20_000)})
    assert most_targets(many, tmp_path) == 500
