"""Registrations: one person's records at several hospitals, typed by different hands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.draw import Bools, Draw, Ints
from demo.ed import Visits
from demo.episodes import People
from demo.plans import Plan
from demo.templates import TEMPLATES

NO_DEFECT, NUMBER_MISSING, NUMBER_MISTYPED, BIRTH_MISTYPED = 0, 1, 2, 3
DEFECTS = (None, "health_number_missing", "health_number_mistyped", "birth_date_mistyped")
NO_NUMBER = -1

_PRIME = 999_999_937
_TRUE_NUMBERS, _TYPED_NUMBERS = 4_000_000_000, 7_000_000_000


@dataclass(frozen=True)
class Registrations:
    """Patient registrations, in order of the first visit.

    Attributes:
        person: the true person.
        defect: what keeps the record from being joined by health number and birth date.
        health_number: as typed; NO_NUMBER where missing.
        born: birth date as typed, days since 1970-01-01.
        label: the person by the rule "same health number and same birth date"; distinct labels are
            distinct persons.
        of_visit: position of each visit's registration.
    """

    person: Ints
    hospital: Ints
    first_seen: Ints
    is_unidentified: Bools
    defect: Ints
    health_number: Ints
    born: Ints
    label: Ints
    of_visit: Ints

    def __len__(self) -> int:
        return len(self.person)


def true_health_numbers(persons: Ints) -> Ints:
    """Return the ten-digit number of each person; no two are alike."""
    return _TRUE_NUMBERS + (persons * 387_420_489 + 123_456_789) % _PRIME


def plan_registrations(plan: Plan, draw: Draw, people: People, visits: Visits) -> Registrations:
    """Register every person once at each hospital visited, unidentified patients once a visit."""
    width = len(plan.hospitals)
    key = visits.person * width + visits.hospital
    # A key of its own for every unidentified visit, after all others.
    unknown = np.flatnonzero(visits.is_unidentified)
    key[unknown] = people.count * width + np.arange(len(unknown))
    _, first, of_visit = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(visits.arrived[first], kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    first, of_visit = first[order], rank[of_visit]
    person, hospital = visits.person[first], visits.hospital[first]
    is_unidentified = visits.is_unidentified[first]
    protected = _protected(plan, visits, of_visit, len(first))
    home = people.hospitals[person, 0]
    defect = _defects(draw, person * width + hospital, person, hospital == home)
    defect[protected | is_unidentified] = NO_DEFECT
    number, born = _typed(people, person, defect)
    number[is_unidentified] = NO_NUMBER
    return Registrations(
        person=person,
        hospital=hospital,
        first_seen=visits.arrived[first],
        is_unidentified=is_unidentified,
        defect=defect,
        health_number=number,
        born=born,
        label=person_labels(number, born),
        of_visit=of_visit,
    )


def _protected(plan: Plan, visits: Visits, of_visit: Ints, count: int) -> Bools:
    """Find registrations that planted histories rely on.

    A history of more than a simple pair falls apart in ways of its own when a link breaks: those
    are kept whole, so that the ledger can say what every rule finds.
    """
    complex_ones = [
        number
        for number, template in enumerate(TEMPLATES)
        if len(template.steps) > 1 and not (plan.has_broken_pairs and template.is_simple_pair)
    ]
    protected = np.zeros(count, dtype=np.bool_)
    protected[of_visit[np.isin(visits.template, complex_ones)]] = True
    return protected


def _defects(draw: Draw, rows: Ints, person: Ints, is_home: Bools) -> Ints:
    shares = np.array([0.0, 0.35, 0.35, 0.30])
    kind = draw.choice("defect", rows, shares)
    is_defective = draw.chance("is_defective", rows, np.where(is_home, 0.003, 0.07))
    defect = np.where(is_defective, kind, NO_DEFECT)
    has_none = draw.chance("has_no_health_number", person, 0.012)
    return np.where(has_none, NUMBER_MISSING, defect)


def _typed(people: People, person: Ints, defect: Ints) -> tuple[Ints, Ints]:
    number = true_health_numbers(person)
    number = np.where(defect == NUMBER_MISTYPED, number - _TRUE_NUMBERS + _TYPED_NUMBERS, number)
    number = np.where(defect == NUMBER_MISSING, NO_NUMBER, number)
    born = people.born[person]
    return number, np.where(defect == BIRTH_MISTYPED, transpose_birth_days(born), born)


def transpose_birth_days(born: Ints) -> Ints:
    """Swap day and month; where that is no date or the same one, take a neighbouring day."""
    months = born.astype("datetime64[D]").astype("datetime64[M]")
    day = born - months.astype("datetime64[D]").astype(np.int64) + 1
    month = months.astype(np.int64) % 12 + 1
    year_start = months.astype("datetime64[Y]").astype("datetime64[M]")
    swapped = (year_start + (day - 1)).astype("datetime64[D]").astype(np.int64) + month - 1
    neighbour = np.where(day > 1, born - 1, born + 1)
    return np.where((day <= 12) & (day != month), swapped, neighbour)  # noqa: PLR2004


def person_labels(number: Ints, born: Ints) -> Ints:
    """Number the persons that the same health number and the same birth date make."""
    key = np.where(number == NO_NUMBER, -1 - np.arange(len(number)), number * 100_000 + born)
    labels: Ints = np.unique(key, return_inverse=True)[1]
    return labels
