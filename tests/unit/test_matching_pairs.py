"""Who is one person and who is not: one worked pair for each case that matching is built for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.matching import MARGARET, match, run

OTHER_NUMBER = "9025514486"
NO_NUMBER = {"health_number": None}
MOVED = {"address": "7 Mill Lane", "postal_code": "14620", "phone": "585-220-9413"}

ONE_PERSON: dict[str, dict[str, Any]] = {
    "same in another spelling": {
        "health_number": "4417902355",
        "first_name": "MARGARET ",
        "last_name": "abernathy",
    },
    "number mistyped": {"health_number": "4417-902-365"},
    "two digits of the number swapped": {"health_number": "4417-920-355"},
    "day and month of birth swapped": {"birth_date": "1971-08-03"},
    "a digit of the birth date mistyped": {"birth_date": "1971-03-18"},
    "nickname and no number": {**NO_NUMBER, "first_name": "Peggy"},
    "nickname under the same number": {"first_name": "Maggie"},
    "names swapped and no number": {
        **NO_NUMBER,
        "first_name": "Abernathy",
        "last_name": "Margaret",
    },
    "nickname swapped with the family name": {
        **NO_NUMBER,
        "first_name": "Abernathy",
        "last_name": "Peggy",
    },
    "given name mistyped and no number": {**NO_NUMBER, "first_name": "Magraret"},
    "family name mistyped and no number": {**NO_NUMBER, "last_name": "Abernahty"},
    "accents left out": {**NO_NUMBER, "first_name": "Márgaret"},
    "moved, same number": {**MOVED},
    "moved, another family name, same number": {**MOVED, "last_name": "Kowalski"},
    "another card, same household": {"health_number": OTHER_NUMBER},
    "no number and no telephone": {**NO_NUMBER, "phone": None, "address": None},
}
TWO_PERSONS: dict[str, dict[str, Any]] = {
    "twin with a number of her own": {"first_name": "Beatrice", "health_number": OTHER_NUMBER},
    "twin without a number": {"first_name": "Beatrice", **NO_NUMBER},
    "twin under the same number": {"first_name": "Beatrice"},
    "twin of a like name": {"first_name": "Margarita", "health_number": OTHER_NUMBER},
    "her newborn under her number": {"first_name": "Rose", "birth_date": "2004-11-02"},
    "her newborn, unnamed, under her number": {
        "first_name": "Baby Girl",
        "birth_date": "2004-11-02",
    },
    "her daughter of the same name": {"birth_date": "2004-11-02", "health_number": OTHER_NUMBER},
    "her daughter of the same name, no number": {"birth_date": "2004-11-02", **NO_NUMBER},
    "her husband at the same telephone": {
        "first_name": "Walter",
        "birth_date": "1969-12-30",
        "health_number": OTHER_NUMBER,
    },
    "a stranger of the same name": {
        **MOVED,
        "birth_date": "1938-10-21",
        "health_number": OTHER_NUMBER,
    },
    "a namesake born that day, elsewhere": {**MOVED, "health_number": OTHER_NUMBER},
    "an unidentified patient": {"is_unidentified": True},
}


@pytest.mark.parametrize("case", ONE_PERSON)
def test_one_person(tmp_path: Path, case: str) -> None:
    assert match(tmp_path, {}, ONE_PERSON[case]).are_one("a", "b")


@pytest.mark.parametrize("case", TWO_PERSONS)
def test_two_persons(tmp_path: Path, case: str) -> None:
    assert not match(tmp_path, {}, TWO_PERSONS[case]).are_one("a", "b")


@pytest.mark.parametrize(
    ("change", "is_reviewed"),
    [
        ({"first_name": "Beatrice"}, True),  # a name nobody told us of, or a lent number
        ({"first_name": "Margarita", "health_number": OTHER_NUMBER}, True),
        ({**MOVED, **NO_NUMBER}, True),
        ({"first_name": "Beatrice", "health_number": OTHER_NUMBER}, False),
        ({"birth_date": "2004-11-02", "health_number": OTHER_NUMBER}, False),
    ],
)
def test_what_is_uncertain_goes_to_review(
    tmp_path: Path, change: dict[str, Any], is_reviewed: bool
) -> None:
    found = match(tmp_path, {}, change)
    assert found.to_review == ({frozenset("ab")} if is_reviewed else set())


def test_what_is_missing_agrees_with_nothing(tmp_path: Path) -> None:
    """Two records of which next to nothing is known, alike in all that is empty."""
    empty = dict.fromkeys(("health_number", "birth_date", "phone", "address", "postal_code"))
    names_only = match(tmp_path, empty, empty)
    assert not names_only.are_one("a", "b")
    nameless = {"first_name": None, "last_name": None, "health_number": None}
    assert not match(tmp_path, nameless, nameless).are_one("a", "b")


@pytest.mark.parametrize(
    "change",
    [
        {"birth_date": "1900-01-01", "health_number": None, "phone": None, "address": None},
        {"health_number": "0000000000", "birth_date": None, "phone": None, "address": None},
        {"first_name": "Unknown", "last_name": "Doe", "health_number": None},
    ],
)
def test_placeholders_are_missing(tmp_path: Path, change: dict[str, Any]) -> None:
    assert not match(tmp_path, change, change).are_one("a", "b")


def test_unnamed_newborns_under_their_mothers_number_stay_apart(tmp_path: Path) -> None:
    """Twins A and B, both "Baby", the mother's number, her telephone: nothing tells them apart."""
    baby = {"first_name": "Baby", "birth_date": "2004-11-02"}
    found = match(tmp_path, {}, baby, {**baby, "first_name": "Baby Boy"})
    assert len(set(found.groups.values())) == 3
    found = match(tmp_path, {}, baby, {**baby, "first_name": "Rose"})
    assert len(set(found.groups.values())) == 3


def test_a_newborn_with_a_number_of_its_own_is_found_again_when_it_has_a_name(
    tmp_path: Path,
) -> None:
    own = {"birth_date": "2004-11-02", "health_number": "8800123400"}
    found = match(tmp_path, {}, {**own, "first_name": "Baby Girl"}, {**own, "first_name": "Rose"})
    assert found.are_one("b", "c")
    assert not found.are_one("a", "b")


TWINS = (
    {"first_name": "Katherine"},
    {"first_name": "Kit", "health_number": None},
    {"first_name": "Christopher", "health_number": OTHER_NUMBER},
)


def test_a_chain_does_not_join_twins(tmp_path: Path) -> None:
    """Kit, without a number, may be Katherine as well as Christopher, but not both."""
    assert match(tmp_path, *TWINS[:2]).are_one("a", "b")
    assert match(tmp_path, *TWINS[1:]).are_one("a", "b")
    found = match(tmp_path, *TWINS)
    assert len(set(found.groups.values())) == 2
    assert not found.are_one("a", "c")
    assert found.to_review  # with the twin that Kit was not given to


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_whose_record_it_is_does_not_depend_on_the_order_of_rows(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    rows = [{**MARGARET, "registration_id": "abc"[n], **TWINS[n]} for n in order]
    assert run(tmp_path, rows).are_one("a", "b")


def test_a_number_that_everybody_has_is_no_number(tmp_path: Path) -> None:
    """Sixty patients under one number and one birth date, with sixty names."""
    names = [f"{chr(97 + n // 8) * 4}{chr(97 + n % 8) * 4}" for n in range(60)]
    found = match(
        tmp_path,
        *({"first_name": name} for name in names),
    )
    assert len(set(found.groups.values())) == 60
    assert found.figures.left_out["placeholder_number"] == 60


def test_a_block_that_is_too_large_is_left_out_and_counted(tmp_path: Path) -> None:
    """A desk's telephone that 201 Margarets share; nothing else is alike."""
    found = match(
        tmp_path,
        *(
            {
                "registration_id": f"r{n}",
                "health_number": None,
                "birth_date": None,
                "address": None,
                "postal_code": None,
                "last_name": f"{chr(97 + n // 15)}{chr(97 + n % 15)}" * 4,
            }
            for n in range(201)
        ),
    )
    assert found.figures.left_out == {"phone_given": 201}
    assert sum(found.figures.bands.values()) == 0


def test_how_a_registration_was_joined(tmp_path: Path) -> None:
    found = match(
        tmp_path,
        {},
        {},
        {"health_number": None},
        {"is_unidentified": True},
        {"health_number": None, "first_name": "Otto", "last_name": "Virtanen", **MOVED},
    )
    assert found.methods == {
        "a": "health_number",
        "b": "health_number",
        "c": "probability",
        "d": "unlinkable",
        "e": "alone",
    }
    assert found.groups["d"] is None


def test_by_number_alone_names_do_not_count(tmp_path: Path) -> None:
    found = match(
        tmp_path,
        {},
        {"first_name": "Beatrice"},
        {"health_number": None},
        {"birth_date": "1971-08-03"},
        method="deterministic",
    )
    assert found.are_one("a", "b")
    assert len(set(found.groups.values())) == 3
    assert found.review == []
