"""The planned network: everything that is true, before it is written into tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from demo.assign import (
    MainDiagnoses,
    Pairs,
    assign_conditions,
    main_diagnoses,
    planted_pairs,
)
from demo.conditions import CHRONIC
from demo.draw import Bools, Draw, Ints
from demo.ed import Visits, plan_visits
from demo.episodes import People, plan_episodes
from demo.inpatient import Stays, death_days, plan_stays
from demo.people import Registrations, plan_registrations
from demo.plans import Plan
from demo.zones import day_number

FIRST_PATIENT, FIRST_VISIT, FIRST_STAY, FIRST_PROVIDER = 200_001, 1_000_001, 5_000_001, 501
EMERGENCY_PROVIDERS = 8
PROVIDER_SPECIALTIES = ("emergency",) * EMERGENCY_PROVIDERS + (
    "internal",
    "surgery",
    "paediatrics",
    "cardiology",
    "psychiatry",
    "family",
)


@dataclass(frozen=True)
class Written:
    """ED rows in the order of their keys: visits and the deleted copies of some of them.

    Attributes:
        row: position in the visits.
        shift: seconds by which a copy's arrival is later; 0 for the visit itself.
        id_of_visit: key of each visit.
    """

    row: Ints
    shift: Ints
    id_of_visit: Ints


@dataclass(frozen=True)
class World:
    """A planned network."""

    plan: Plan
    draw: Draw
    people: People
    visits: Visits
    stays: Stays
    registrations: Registrations
    pairs: Pairs
    condition: Ints
    main: MainDiagnoses
    died: Ints

    @cached_property
    def zone_of_hospital(self) -> Ints:
        """Position of each hospital's zone in the plan's zones."""
        return zones_of_hospitals(self.plan)

    @cached_property
    def written(self) -> Written:
        """ED rows in the order of their keys."""
        number = self.visits.number
        copied = np.flatnonzero(self.draw.chance("is_copied", number, 0.004))
        shift = self.draw.between("copy_shift", number[copied], 20, 240)
        row = np.concatenate([np.arange(len(number)), copied])
        shifts = np.concatenate([np.zeros(len(number), dtype=np.int64), shift])
        order = np.argsort(self.visits.arrived[row] + shifts, kind="stable")
        row, shifts = row[order], shifts[order]
        ids = np.empty(len(number), dtype=np.int64)
        originals = np.flatnonzero(shifts == 0)
        ids[row[originals]] = FIRST_VISIT + originals
        return Written(row, shifts, ids)

    @cached_property
    def stay_ids(self) -> Ints:
        """Keys of the inpatient encounters, in order of admission."""
        ids = np.empty(len(self.stays), dtype=np.int64)
        order = np.argsort(self.stays.admitted, kind="stable")
        ids[order] = FIRST_STAY + np.arange(len(order))
        return ids

    @cached_property
    def provider_of_visit(self) -> Ints:
        """Key of the emergency physician of each visit."""
        pick = self.draw.below("ed_provider", self.visits.number, EMERGENCY_PROVIDERS)
        return FIRST_PROVIDER + self.visits.hospital * len(PROVIDER_SPECIALTIES) + pick

    @cached_property
    def chronic(self) -> Bools:
        """Chronic conditions: one row per person, one column per entry of CHRONIC."""
        years = (day_number(self.plan.first_day) - self.people.born) / 365.25
        band = np.digitize(years, [18.0, 65.0])
        ids = np.arange(self.people.count)
        columns = [
            self.draw.chance(f"chronic/{name}", ids, np.array(shares)[band])
            for name, _, shares in CHRONIC
        ]
        return np.stack(columns, axis=1)


def zones_of_hospitals(plan: Plan) -> Ints:
    """Return the position of each hospital's zone in the plan's zones."""
    return np.array([plan.zones.index(hospital.zone) for hospital in plan.hospitals])


def build_world(plan: Plan, seed: int) -> World:
    """Plan a whole network from a seed."""
    draw = Draw(seed)
    people, episodes = plan_episodes(plan, draw)
    visits = plan_visits(plan, draw, people, episodes)
    stays = plan_stays(plan, draw, visits)
    registrations = plan_registrations(plan, draw, people, visits)
    pairs = planted_pairs(visits)
    condition = assign_conditions(plan, draw, people, visits, pairs)
    return World(
        plan=plan,
        draw=draw,
        people=people,
        visits=visits,
        stays=stays,
        registrations=registrations,
        pairs=pairs,
        condition=condition,
        main=main_diagnoses(draw, visits, stays, condition),
        died=death_days(plan, draw, visits, stays, zones_of_hospitals(plan)),
    )
