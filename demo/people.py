"""Registrations: one person's records at several hospitals, typed by different hands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.draw import Bools, Draw, Ints
from demo.ed import Visits
from demo.episodes import People
from demo.kin import NEWBORN
from demo.plans import Plan
from demo.templates import TEMPLATES

NO_DEFECT, NUMBER_MISSING, NUMBER_MISTYPED, BIRTH_MISTYPED, NUMBER_OLD, NUMBER_LENT = range(6)
DEFECTS = (
    None,
    "health_number_missing",
    "health_number_mistyped",
    "birth_date_mistyped",
    "health_number_of_old_card",
    "health_number_of_mother",
)
AS_NAMED, SWAPPED, UNNAMED = range(3)
NAME_FAULTS = (None, "names_swapped", "unnamed_newborn")
NO_NUMBER = -1

_PRIME = 999_999_937
_TRUE_NUMBERS, _TYPED_NUMBERS, _OLD_NUMBERS = 4_000_000_000, 7_000_000_000, 8_000_000_000


@dataclass(frozen=True)
class Registrations:
    """Patient registrations, in order of the first visit.

    Attributes:
        person: the true person.
        defect: what keeps the record from being joined by health number and birth date.
        health_number: as typed; NO_NUMBER where missing.
        born: birth date as typed, days since 1970-01-01.
        name_fault: what is wrong with the names beside how they are spelt.
        is_protected: whether a planted history relies on it, so that nothing is wrong with it.
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
    name_fault: Ints
    is_protected: Bools
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
    is_home = hospital == people.hospitals[person, 0]
    rows = person * width + hospital
    defect = _defects(draw, people, rows, person, is_home)
    defect[protected | is_unidentified] = NO_DEFECT
    name_fault = _name_faults(draw, people, rows, person, is_home)
    name_fault[protected | is_unidentified] = AS_NAMED
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
        name_fault=name_fault,
        is_protected=protected,
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


def _defects(draw: Draw, people: People, rows: Ints, person: Ints, is_home: Bools) -> Ints:
    shares = np.array([0.0, 0.33, 0.33, 0.29, 0.05, 0.0])
    kind = draw.choice("defect", rows, shares)
    is_defective = draw.chance("is_defective", rows, np.where(is_home, 0.003, 0.07))
    defect = np.where(is_defective, kind, NO_DEFECT)
    # A newborn is registered under the mother's number until it has its own.
    is_lent = (people.kin.kinship[person] == NEWBORN) & draw.chance("number_lent", rows, 0.35)
    defect = np.where(is_lent, NUMBER_LENT, defect)
    has_none = draw.chance("has_no_health_number", person, 0.012)
    return np.where(has_none, NUMBER_MISSING, defect)


def _name_faults(draw: Draw, people: People, rows: Ints, person: Ints, is_home: Bools) -> Ints:
    is_swapped = draw.chance("names_swapped", rows, np.where(is_home, 0.004, 0.015))
    is_newborn = people.kin.kinship[person] == NEWBORN
    is_unnamed = is_newborn & draw.chance("is_unnamed", rows, np.where(is_home, 0.4, 0.1))
    fault = np.where(is_swapped, SWAPPED, AS_NAMED)
    return np.where(is_unnamed, UNNAMED, fault)


def _typed(people: People, person: Ints, defect: Ints) -> tuple[Ints, Ints]:
    true = true_health_numbers(person)
    number = np.where(defect == NUMBER_MISTYPED, true - _TRUE_NUMBERS + _TYPED_NUMBERS, true)
    old = _OLD_NUMBERS + ((true - _TRUE_NUMBERS) * 6_700_417 + 11) % _PRIME
    number = np.where(defect == NUMBER_OLD, old, number)
    mothers = true_health_numbers(people.kin.head[person])
    number = np.where(defect == NUMBER_LENT, mothers, number)
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
