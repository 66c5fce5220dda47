"""Inpatient encounters: after an ED visit, direct, and elective."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.draw import Bools, Draw, Ints
from demo.ed import HOURS, NOTHING, Visits, feed_instants
from demo.plans import Plan
from demo.templates import Disposition
from demo.zones import DAY, local_days

EMERGENCY, DIRECT, ELECTIVE = 0, 1, 2
ADMISSION_TYPES = ("emergency", "direct", "elective")
DISCHARGE_CODES = ("home", "facility", "transferred", "ama", "died", "other")
_DISCHARGE_SHARES = (0.80, 0.12, 0.03, 0.015, 0.0, 0.035)
_HOME, _DIED = 0, DISCHARGE_CODES.index("died")


@dataclass(frozen=True)
class Stays:
    """Inpatient encounters, one entry each.

    Attributes:
        visit: position in the visits of the ED visit that led to it, or of the person's visit that
            a direct or elective admission follows.
        kind: EMERGENCY, DIRECT or ELECTIVE.
        number: identifies the row in every draw.
    """

    number: Ints
    visit: Ints
    kind: Ints
    admitted: Ints
    discharged: Ints
    discharge: Ints

    def __len__(self) -> int:
        return len(self.number)


def plan_stays(plan: Plan, draw: Draw, visits: Visits) -> Stays:
    """Draw the inpatient encounters of a network."""
    rows = np.arange(len(visits))
    through_ed = np.flatnonzero(visits.disposition == int(Disposition.ADMITTED))
    is_single_home = (
        (visits.template == 0)
        & (visits.disposition == int(Disposition.HOME))
        & ~visits.is_unidentified
        & ~visits.is_planned
    )
    kind = draw.choice("other_admission", visits.number, [0.965, 0.012, 0.023])
    other = np.flatnonzero(is_single_home & (kind > 0))
    visit = np.concatenate([through_ed, other])
    kinds = np.where(np.isin(rows, other), kind, EMERGENCY)[visit]
    number = visits.number[visit]
    share = draw.uniform("admission_gap", number)
    gap = np.select(
        [kinds == DIRECT, kinds == ELECTIVE],
        [(4 + 56 * share) * HOURS, (18 + 2 * share) * DAY],
        0,
    )
    admitted = visits.effective[visit] + gap.astype(np.int64)
    # Stays end before the person's next episode can begin.
    longest = np.where(kinds == ELECTIVE, 8.0, 14.0)
    days = np.minimum(draw.lognormal("ward_days", number, 3.0, 0.7, (0.3, 14.0)), longest)
    discharged = admitted + np.floor(days * DAY).astype(np.int64)
    discharge = draw.choice("discharge", number, _DISCHARGE_SHARES)
    dies = draw.chance("dies_on_ward", number, 0.06) & visits.is_last_episode[visit]
    dies &= (kinds == EMERGENCY) & ~visits.is_unidentified[visit]
    stays = Stays(number, visit, kinds, admitted, discharged, np.where(dies, _DIED, discharge))
    return _censor(plan, visits, stays)


def _censor(plan: Plan, visits: Visits, stays: Stays) -> Stays:
    cut = feed_instants(plan)[visits.hospital[stays.visit]]
    kept = stays.admitted < cut
    is_open = stays.discharged >= cut
    return Stays(
        stays.number[kept],
        stays.visit[kept],
        stays.kind[kept],
        stays.admitted[kept],
        np.where(is_open, NOTHING, stays.discharged)[kept],
        np.where(is_open, NOTHING, stays.discharge)[kept],
    )


def death_days(plan: Plan, draw: Draw, visits: Visits, stays: Stays, zones_of: Ints) -> Ints:
    """Return, per person, the local day of death; NOTHING for the living.

    People die in the ED, on a ward, or at home some days after their last visit.
    """
    died_at = np.full(int(visits.person.max()) + 1, NOTHING, dtype=np.int64)
    in_ed = (visits.disposition == int(Disposition.DIED)) & ~visits.is_unidentified

    def note(rows: Ints, instants: Ints) -> None:
        zone = zones_of[visits.hospital[rows]]
        died_at[visits.person[rows]] = local_days(plan.zones, zone, instants)

    note(np.flatnonzero(in_ed), visits.effective[in_ed])
    on_ward = (stays.discharge == _DIED) & (stays.discharged != NOTHING)
    note(stays.visit[on_ward], stays.discharged[on_ward])
    has_stay: Bools = np.isin(np.arange(len(visits)), stays.visit)
    at_home = (
        (visits.template == 0)
        & visits.is_last_episode
        & (visits.disposition == int(Disposition.HOME))
        & ~visits.is_unidentified
        & ~has_stay
        & draw.chance("dies_at_home", visits.number, 0.004)
    )
    later = np.floor(draw.uniform("days_to_death", visits.number[at_home]) ** 2 * 25 * DAY)
    instant = visits.effective[at_home] + later.astype(np.int64)
    known = instant + 2 * DAY < plan.data_through_at
    note(np.flatnonzero(at_home)[known], instant[known])
    return died_at
