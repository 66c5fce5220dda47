"""ED returns counted from an operational SQLite file by plain loops.

Slow and literal on purpose: it shares nothing with the generator's ledger, the SQL models or the
polars oracle, and reads what a hospital's database holds.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

HOUR = timedelta(hours=1)
SENTINELS = {"ami": ("I21", "I22"), "sah": ("I60",), "paediatric_sepsis": ("A40", "A41")}


@dataclass
class Visit:
    id: int
    person: str | None
    hospital: str
    arrived: datetime
    departed: datetime | None
    effective: datetime
    disposition: str | None
    is_planned: bool
    complaint: str | None


@dataclass
class Leg:
    visits: list[Visit]

    @property
    def arrived(self) -> datetime:
        return self.visits[0].arrived

    @property
    def departed(self) -> datetime:
        return max(visit.effective for visit in self.visits)

    @property
    def decider(self) -> Visit:
        open_ones = [v for v in self.visits if v.disposition is None and v.departed is None]
        rows = open_ones or self.visits
        return max(rows, key=lambda v: (v.effective, v.arrived, v.id))


@dataclass
class Counted:
    numerator: Counter[tuple[str, str, date]]
    index: Counter[tuple[str, date]]
    everything: Counter[tuple[str, date]]
    pairs: list[tuple[Visit, Visit, str | None]]


def read(path: Path, persons: Mapping[int, str | None] | None = None) -> Network:
    return Network(path, persons)


class Network:
    def __init__(self, path: Path, persons: Mapping[int, str | None] | None = None) -> None:
        with sqlite3.connect(path) as self.db:
            self.zones = dict(self.db.execute("select hospital_id, time_zone from hospitals"))
            through = [row[0] for row in self.db.execute("select data_through_at from feeds")]
            self.through = min(datetime.fromisoformat(text) for text in through)
            self._patients(persons)
            self._main_diagnoses()
            self.visits = self._visits()

    def _patients(self, persons: Mapping[int, str | None] | None) -> None:
        self.person: dict[int, str | None] = {}
        self.born: dict[str, date] = {}
        self.deceased: dict[str, date] = {}
        for key, number, born, status, died in self.db.execute(
            "select patient_id, health_number, birth_date, identity_status_code, deceased_on"
            " from patients where deleted_at is null"
        ):
            person = f"{number}/{born}" if number else f"alone {key}"
            if status == "unidentified":
                person = None
            if persons is not None:
                person = persons[key]
            self.person[key] = person
            if person and born:
                self.born[person] = date.fromisoformat(born)
            if person and died:
                self.deceased[person] = date.fromisoformat(died)

    def _main_diagnoses(self) -> None:
        query = (
            "select {key}, diagnosis_code from {table}"
            " where sequence_number = 1 and deleted_at is null"
        )
        self.ed_main = dict(
            self.db.execute(query.format(key="visit_id", table="ed_visit_diagnoses"))
        )
        ward = dict(self.db.execute(query.format(key="encounter_id", table="inpatient_diagnoses")))
        self.ward_main = {
            visit: ward.get(encounter)
            for encounter, visit in self.db.execute(
                "select encounter_id, ed_visit_id from inpatient_encounters"
                " where ed_visit_id is not null and deleted_at is null"
            )
        }

    def _visits(self) -> list[Visit]:
        result = []
        for (
            key,
            patient,
            hospital,
            arrived,
            decided,
            left,
            disposition,
            planned,
            complaint,
        ) in self.db.execute(
            "select visit_id, patient_id, hospital_id, arrived_at, disposition_at, departed_at,"
            " disposition_code, is_planned, complaint_code"
            " from ed_visits where deleted_at is null"
        ):
            known = left or decided
            result.append(
                Visit(
                    id=key,
                    person=self.person[patient],
                    hospital=hospital,
                    arrived=datetime.fromisoformat(arrived),
                    departed=datetime.fromisoformat(known) if known else None,
                    effective=datetime.fromisoformat(known or arrived),
                    disposition=disposition,
                    is_planned=bool(planned),
                    complaint=complaint,
                )
            )
        return result

    def legs(self) -> dict[str, list[Leg]]:
        """Legs by person, in order of arrival; every unlinkable visit is a subject of its own."""
        by_place: dict[tuple[str, str], list[Visit]] = defaultdict(list)
        for visit in self.visits:
            by_place[visit.person or f"nobody {visit.id}", visit.hospital].append(visit)
        result: dict[str, list[Leg]] = defaultdict(list)
        for (subject, _), visits in by_place.items():
            legs: list[Leg] = []
            for visit in sorted(visits, key=lambda v: (v.arrived, v.id)):
                if legs and visit.arrived <= legs[-1].departed:
                    legs[-1].visits.append(visit)
                else:
                    legs.append(Leg([visit]))
            result[subject].extend(legs)
        for legs in result.values():
            legs.sort(key=lambda leg: (leg.arrived, leg.visits[0].id))
        return result

    def stays(self, legs: list[Leg]) -> list[list[Leg]]:
        stays: list[list[Leg]] = []
        for leg in legs:
            last = stays[-1][-1] if stays else None
            if (
                last is not None
                and last.decider.disposition == "transferred"
                and last.visits[0].hospital != leg.visits[0].hospital
                and leg.arrived <= last.departed + 24 * HOUR
            ):
                stays[-1].append(leg)
            else:
                stays.append([leg])
        return stays

    def complete(self, leg: Leg, hours: int) -> bool:
        died = self.deceased.get(leg.visits[0].person or "")
        known = died and datetime(died.year, died.month, died.day, tzinfo=UTC) + 24 * HOUR
        return bool(
            leg.departed + hours * HOUR <= self.through
            or leg.decider.disposition == "died"
            or (known and known <= self.through)
        )

    def month(self, leg: Leg) -> date:
        local = leg.arrived.astimezone(ZoneInfo(self.zones[leg.visits[0].hospital]))
        return local.date().replace(day=1)

    def returns(self, stays: list[list[Leg]]) -> list[tuple[Leg, list[Leg] | None]]:
        """Each index leg with its return; a return belongs to the index that departed last."""
        found: list[tuple[Leg, list[Leg] | None]] = []
        for stay in stays:
            leg, decider = stay[-1], stay[-1].decider
            if decider.disposition != "home" or decider.departed is None or not decider.person:
                continue
            if stay[0].visits[0].is_planned:
                continue
            later = [
                other
                for other in stays
                if other[0].arrived > leg.departed
                and not other[0].visits[0].is_planned
                and other[-1].decider.disposition != "lwbs"
            ]
            found.append((leg, min(later, key=lambda other: other[0].arrived, default=None)))
        kept: list[tuple[Leg, list[Leg] | None]] = []
        for leg, back in found:
            rivals = [other for other, again in found if again is back and back is not None]
            best = max(rivals, key=lambda o: (o.departed, o.arrived, o.decider.id), default=leg)
            kept.append((leg, back if best is leg else None))
        return kept

    def diagnosis(self, stay: list[Leg]) -> str:
        ids = [visit.id for leg in stay for visit in leg.visits]
        codes = [self.ward_main.get(key) for key in ids] + [self.ed_main.get(k) for k in ids[::-1]]
        return next((code for code in codes if code), "").replace(".", "")

    def age(self, person: str, stay: list[Leg]) -> int:
        zone = ZoneInfo(self.zones[stay[0].visits[0].hospital])
        on, born = stay[0].arrived.astimezone(zone).date(), self.born[person]
        return on.year - born.year - ((on.month, on.day) < (born.month, born.day))

    def sentinel(self, person: str, stay: list[Leg]) -> str | None:
        code = self.diagnosis(stay)
        for name, prefixes in SENTINELS.items():
            if code.startswith(prefixes):
                is_child = self.age(person, stay) < 18
                return name if name != "paediatric_sepsis" or is_child else None
        return None

    def count(self, hours: int, *, admitted: bool, sentinel: bool = False) -> Counted:
        result = Counted(Counter(), Counter(), Counter(), [])
        for subject, legs in self.legs().items():
            for leg in legs:
                if self.complete(leg, hours):
                    result.everything[leg.visits[0].hospital, self.month(leg)] += 1
            for leg, back in self.returns(self.stays(legs)):
                if not self.complete(leg, hours):
                    continue
                cell = (leg.visits[0].hospital, self.month(leg))
                within = back is not None and back[0].arrived - leg.departed <= hours * HOUR
                if within and back is not None:
                    outcomes = [part.decider.disposition for part in back]
                    if outcomes[-1] is None:
                        continue
                    kind = self.sentinel(subject, back) if sentinel else "all"
                    if kind and ("admitted" in outcomes or not admitted):
                        result.numerator[kind, *cell] += 1
                        result.pairs.append((leg.decider, back[0].visits[0], self.diagnosis(back)))
                result.index[cell] += 1
        return result
