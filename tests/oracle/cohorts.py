"""The three shipped cohorts a second time: person by person, in plain Python over polars frames.

Written from the definitions' words, not from the models: no code is shared with them, and each
cohort is spelt out by itself. Attrition is a list of (persons, events) in the order of the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

Period = tuple[str, date, date]
Attrition = list[tuple[int, int]]


@dataclass
class Contact:
    key: str
    at: datetime
    day: date
    is_ed: bool
    is_planned: bool
    last_day: date
    codes: set[str] = field(default_factory=set)


@dataclass
class Person:
    key: str | None
    birth: date | None = None
    died: date | None = None
    contacts: list[Contact] = field(default_factory=list)

    @property
    def first_day(self) -> date:
        return min(contact.day for contact in self.contacts)

    @property
    def last_day(self) -> date:
        last = max(max(contact.day, contact.last_day) for contact in self.contacts)
        return min(last, self.died) if self.died else last

    def age(self, day: date) -> int:
        if self.birth is None:
            return -1
        return (
            day.year - self.birth.year - ((day.month, day.day) < (self.birth.month, self.birth.day))
        )

    def coded(self, *prefixes: str) -> list[Contact]:
        return [c for c in self.contacts if any(code.startswith(prefixes) for code in c.codes)]


def read_people(
    encounters: pl.DataFrame,
    ed_visits: pl.DataFrame,
    diagnoses: pl.DataFrame,
    patients: pl.DataFrame,
    hospitals: pl.DataFrame,
) -> list[Person]:
    """Gather the core tables by person; a contact without a person is a Person without a key."""
    zones = dict(hospitals.select("hospital_key", "time_zone").iter_rows())
    visits = {row["ed_visit_key"]: row for row in ed_visits.iter_rows(named=True)}
    contacts: dict[str, Contact] = {}
    owners: dict[str, str | None] = {}
    contact_of: dict[str, str] = {}
    for row in encounters.iter_rows(named=True):
        zone = ZoneInfo(zones[row["hospital_key"]])
        is_ed = row["encounter_class_code"] == "emergency"
        key = visits[row["encounter_key"]]["leg_key"] if is_ed else row["encounter_key"]
        start = visits[key]["arrived_at"] if is_ed else row["started_at"]
        last = _day(row["ended_at"] or start, zone)
        contact_of[row["encounter_key"]] = key
        owners[key] = row["person_key"]
        contact = contacts.setdefault(
            key,
            Contact(
                key, start, _day(start, zone), is_ed, is_ed and visits[key]["is_planned"], last
            ),
        )
        contact.last_day = max(contact.last_day, last)
    for encounter, code in diagnoses.select("encounter_key", "diagnosis_code").iter_rows():
        if code is not None:
            contacts[contact_of[encounter]].codes.add(code)
    return _people(contacts, owners, patients)


def _people(
    contacts: dict[str, Contact], owners: dict[str, str | None], patients: pl.DataFrame
) -> list[Person]:
    known = {row["person_key"]: row for row in patients.iter_rows(named=True)}
    people: dict[str, Person] = {}
    for key in sorted(contacts, key=lambda k: (contacts[k].at, k)):
        owner = owners[key]
        # The contact's own key cannot be the key of a person: a person of its own.
        person = people.setdefault(owner or f"contact {key}", Person(owner))
        person.contacts.append(contacts[key])
        if owner in known:
            person.birth = known[owner]["birth_on"]
            person.died = known[owner]["deceased_on"]
    return list(people.values())


def _day(at: datetime, zone: ZoneInfo) -> date:
    return at.replace(tzinfo=UTC).astimezone(zone).date()


class Flow:
    """Entry events on their way through the steps."""

    def __init__(self, entries: Iterable[tuple[Person, Contact]]) -> None:
        self.left = list(entries)
        self.attrition: Attrition = []
        self._count()
        self.keep(lambda person, contact: person.key is not None)

    def _count(self) -> None:
        persons = {person.key for person, _ in self.left if person.key is not None}
        self.attrition.append((len(persons), len(self.left)))

    def keep(self, rule: Callable[[Person, Contact], bool]) -> None:
        self.left = [pair for pair in self.left if rule(*pair)]
        self._count()

    def keep_first(self) -> None:
        first: dict[str | None, Contact] = {}
        for person, contact in self.left:
            known = first.setdefault(person.key, contact)
            if (contact.at, contact.key) < (known.at, known.key):
                first[person.key] = contact
        self.keep(lambda person, contact: first[person.key] is contact)

    def end(self, periods: list[Period]) -> tuple[list[Period], Attrition]:
        self.attrition.append((len({person for person, _, _ in periods}), len(periods)))
        return sorted(periods), self.attrition

    def until_last_contact(self) -> list[Period]:
        return [(str(p.key), c.day, max(c.day, p.last_day)) for p, c in self.left]


def type_2_diabetes(people: list[Person]) -> tuple[list[Period], Attrition]:
    flow = Flow((person, contact) for person in people for contact in person.coded("E11"))
    flow.keep_first()
    flow.keep(lambda person, contact: person.age(contact.day) >= 18)
    flow.keep(
        lambda person, contact: (
            not any(
                timedelta(0) <= contact.day - other.day <= timedelta(365)
                for other in person.coded("E10")
            )
        )
    )
    return flow.end(flow.until_last_contact())


def heart_failure(people: list[Person]) -> tuple[list[Period], Attrition]:
    codes = ("I50", "I110", "I130", "I132")
    flow = Flow((person, contact) for person in people for contact in person.coded(*codes))
    flow.keep(lambda person, contact: contact.day - person.first_day >= timedelta(30))
    flow.keep(
        lambda person, contact: (
            not any(
                timedelta(1) <= contact.day - other.day <= timedelta(30)
                for other in person.coded(*codes)
            )
        )
    )
    flow.keep(lambda person, contact: person.age(contact.day) >= 18)
    flow.keep_first()
    return flow.end(flow.until_last_contact())


def ed_frequent_attenders(people: list[Person]) -> tuple[list[Period], Attrition]:
    entries = []
    for person in people:
        visits = [c for c in person.contacts if c.is_ed and not c.is_planned]
        for position, visit in enumerate(visits):
            run = [
                other
                for other in visits[: position + 1]
                if visit.day - timedelta(364) <= other.day <= visit.day
            ]
            if len(run) >= 5:
                entries.append((person, visit))
    flow = Flow(entries)
    periods: list[Period] = []
    for person, visit in flow.left:
        end = max(visit.day, min(visit.day + timedelta(364), person.last_day))
        key = str(person.key)
        if periods and periods[-1][0] == key and visit.day <= periods[-1][2] + timedelta(1):
            periods[-1] = (key, periods[-1][1], max(periods[-1][2], end))
        else:
            periods.append((key, visit.day, end))
    return flow.end(periods)


COHORTS = {
    "type_2_diabetes": type_2_diabetes,
    "heart_failure": heart_failure,
    "ed_frequent_attenders": ed_frequent_attenders,
}
