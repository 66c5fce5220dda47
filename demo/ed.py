"""ED registrations: the plan's episodes turned into rows with instants and dispositions."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from demo.draw import Bools, Draw, Floats, Ints
from demo.episodes import Episodes, People, row_numbers
from demo.plans import Plan
from demo.templates import STEPS_MAX, TEMPLATES, After, Disposition, Step, Template
from demo.zones import DAY, day_number, from_wall

NOTHING = -1
OUTSIDE = -2
HOURS = 3_600

_HOUR_WEIGHTS = (
    *(2.6, 2.0, 1.7, 1.5, 1.5, 1.7, 2.2, 3.2, 4.4, 5.6, 6.1, 6.2),
    *(6.0, 5.8, 5.6, 5.5, 5.5, 5.6, 5.7, 5.6, 5.2, 4.6, 3.9, 3.2),
)
_SINGLE_MIX = (0.805, 0.125, 0.005, 0.032, 0.009, 0.0015, 0.018, 0.0045)
# Minutes in the ED: median, spread, limits.
_STAY_MINUTES = {
    Disposition.HOME: (165, 0.5, (20, 1200)),
    Disposition.ADMITTED: (400, 0.5, (60, 1700)),
    Disposition.LWBS: (80, 0.6, (10, 300)),
    Disposition.OBSERVATION: (800, 0.4, (240, 1700)),
}
_OTHER_STAY = (240, 0.5, (30, 1200))
_PLANNED_STAY = (60, 0.4, (15, 200))


@dataclass(frozen=True)
class Visits:
    """ED registrations, one entry each, in order of person, episode and step.

    Instants are seconds since the epoch; NOTHING (-1) is a missing one. ``effective`` is the
    departure that the counting rules use. ``number`` identifies the row in every draw.
    """

    number: Ints
    person: Ints
    episode: Ints
    template: Ints
    step: Ints
    hospital: Ints
    arrived: Ints
    triaged: Ints
    seen: Ints
    decided: Ints
    departed: Ints
    effective: Ints
    disposition: Ints
    sent_by: Ints
    is_planned: Bools
    is_unidentified: Bools
    is_last_episode: Bools

    def __len__(self) -> int:
        return len(self.number)

    def take(self, rows: Ints | Bools) -> Visits:
        """Return some of the rows."""
        return Visits(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def plan_visits(plan: Plan, draw: Draw, people: People, episodes: Episodes) -> Visits:
    """Turn every episode into its registrations, as they would be were nothing cut off."""
    parts = []
    for number, template in enumerate(TEMPLATES):
        chosen = np.flatnonzero(episodes.template == number)
        parts.extend(
            _Template(plan, draw, people, episodes, number=number, chosen=chosen).rows(template)
        )
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(columns["number"], kind="stable")
    visits = Visits(**{name: values[order] for name, values in columns.items()})
    return _censor(plan, visits) if plan.is_censored else visits


def _censor(plan: Plan, visits: Visits) -> Visits:
    """Cut the rows at the moment their hospital's feed had reached."""
    cut = feed_instants(plan)[visits.hospital]
    kept = visits.arrived < cut
    visits, cut = visits.take(kept), cut[kept]
    hidden = {
        name: np.where(getattr(visits, name) < cut, getattr(visits, name), NOTHING)
        for name in ("triaged", "seen", "decided", "departed")
    }
    is_undecided = (visits.decided >= cut) | (
        (visits.decided == NOTHING) & (visits.departed >= cut)
    )
    visits = replace(
        visits,
        **hidden,
        disposition=np.where(is_undecided, int(Disposition.OPEN), visits.disposition),
    )
    return replace(visits, effective=effective_departure(visits))


def effective_departure(visits: Visits) -> Ints:
    """Return departure, else the decision on disposition, else arrival."""
    known = np.where(visits.departed != NOTHING, visits.departed, visits.decided)
    departure: Ints = np.where(known != NOTHING, known, visits.arrived)
    return departure


def feed_instants(plan: Plan) -> Ints:
    """Return how far each hospital's ED feed has come; the earliest is the plan's own."""
    steps = np.arange(len(plan.hospitals), dtype=np.int64) * 13 % 7
    instants: Ints = plan.data_through_at + (steps - steps.min()) * 900
    return instants


class _Template:
    """Builds the rows of one template's episodes, step after step."""

    def __init__(
        self,
        plan: Plan,
        draw: Draw,
        people: People,
        episodes: Episodes,
        *,
        number: int,
        chosen: Ints,
    ) -> None:
        self.plan, self.draw, self.people = plan, draw, people
        self.number, self.chosen = number, chosen
        self.person = episodes.person[chosen]
        self.day = episodes.day[chosen]
        self.is_last = episodes.is_last[chosen]
        zones = plan.zones
        self.zone_of = np.array([zones.index(hospital.zone) for hospital in plan.hospitals])
        self.hospitals: list[Ints] = []
        self.arrived: list[Ints] = []
        self.effective: list[Ints] = []

    def rows(self, template: Template) -> list[dict[str, Any]]:
        """Return one dictionary of columns per step."""
        return [self._step(template, index, step) for index, step in enumerate(template.steps)]

    def _step(self, template: Template, index: int, step: Step) -> dict[str, Any]:
        rows = row_numbers(self.chosen, index)
        is_single = len(template.steps) == 1
        hospital = self._hospital(rows, step, is_single)
        self.hospitals.append(hospital)
        is_planned = np.full(len(rows), step.is_planned)
        is_unidentified = np.zeros(len(rows), dtype=np.bool_)
        disposition = self._disposition(rows, step)
        if is_single:
            is_home = disposition == int(Disposition.HOME)
            is_planned = is_home & self.draw.chance("is_planned", rows, 0.012)
            is_unidentified = ~is_planned & self.draw.chance("is_unidentified", rows, 0.0025)
        arrived = self._arrival(rows, step, hospital)
        times = self._times(
            rows,
            step,
            arrived,
            disposition=disposition,
            is_planned=is_planned,
            is_single=is_single,
        )
        self.arrived.append(arrived)
        self.effective.append(times["effective"])
        return {
            "number": rows,
            "person": self.person,
            "episode": self.chosen,
            "template": np.full(len(rows), self.number),
            "step": np.full(len(rows), index),
            "hospital": hospital,
            "arrived": arrived,
            **times,
            "disposition": disposition,
            "sent_by": self._sent_by(rows, step),
            "is_planned": is_planned,
            "is_unidentified": is_unidentified,
            "is_last_episode": self.is_last,
        }

    def _hospital(self, rows: Ints, step: Step, is_single: bool) -> Ints:
        slot = np.full(len(rows), step.slot)
        if is_single:
            elsewhere = self.people.goes_elsewhere[self.person]
            slot = (elsewhere & self.draw.chance("elsewhere", rows, 0.35)).astype(np.int64)
        hospital: Ints = self.people.hospitals[self.person, slot]
        return hospital

    def _disposition(self, rows: Ints, step: Step) -> Ints:
        if step.disposition != Disposition.MIX:
            return np.full(len(rows), int(step.disposition))
        drawn = self.draw.choice("disposition", rows, _SINGLE_MIX)
        # Whoever dies has no later episode.
        return np.where((drawn == int(Disposition.DIED)) & ~self.is_last, 0, drawn)

    def _sent_by(self, rows: Ints, step: Step) -> Ints:
        if step.sent_by is None:
            return np.full(len(rows), NOTHING)
        if step.sent_by < 0:
            return np.full(len(rows), OUTSIDE)
        is_recorded = self.draw.chance("sender_is_recorded", rows, 0.8)
        return np.where(is_recorded, self.hospitals[step.sent_by], NOTHING)

    def _arrival(self, rows: Ints, step: Step, hospital: Ints) -> Ints:
        if step.after == After.START:
            return self._first_arrival(rows, hospital)
        left = self.effective[step.anchor]
        if step.after == After.TOUCH:
            return left.copy()
        if step.after == After.OVERLAP:
            came = self.arrived[step.anchor]
            share = self.draw.uniform("arrival", rows)
            return came + 60 + np.floor((left - came - 120) * share).astype(np.int64)
        return left + self._gap(rows, step)

    def _gap(self, rows: Ints, step: Step) -> Ints:
        """Draw the seconds between the anchor's departure and this arrival."""
        share = self.draw.uniform("arrival", rows)
        if step.after == After.BETWEEN:
            return np.floor((4 + 16 * share) * HOURS).astype(np.int64)
        if step.after == After.TRANSFER:
            return np.floor((0.5 + 3 * share) * HOURS).astype(np.int64)
        if step.after == After.LATE:
            gap = 72 * HOURS + 1 + np.floor(88 * HOURS * share).astype(np.int64)
            just = self.draw.chance("one_second_late", rows, 0.01)
            return np.where(just, 72 * HOURS + 1, gap)
        gap = 300 + np.floor((72 * HOURS - 300) * share**1.25).astype(np.int64)
        if _has_step_between(self.number, step):
            gap = 40 * HOURS + np.floor(32 * HOURS * share).astype(np.int64)
        exactly = self.draw.chance("exactly_72_hours", rows, 0.004)
        return np.where(exactly, 72 * HOURS, gap)

    def _first_arrival(self, rows: Ints, hospital: Ints) -> Ints:
        hour = self.draw.choice("hour", rows, _HOUR_WEIGHTS)
        second = hour * HOURS + self.draw.below("second", rows, HOURS)
        day = day_number(self.plan.first_day) + self.day
        # Enough visits must be in the department while its clocks change (02:00 on such a Sunday).
        night = 600 + self.draw.below("night", rows, 4_200)
        second = np.where(self.draw.chance("is_night", rows, 0.02), night, second)
        return from_wall(self.plan.zones, self.zone_of[hospital], day * DAY + second)

    def _times(
        self,
        rows: Ints,
        step: Step,
        arrived: Ints,
        *,
        disposition: Ints,
        is_planned: Bools,
        is_single: bool,
    ) -> dict[str, Ints]:
        stay = _stay_seconds(self.draw, rows, disposition, is_planned)
        if step.after in (After.OVERLAP, After.TOUCH):
            # The later registration departs last and so gives the leg its disposition.
            stay = np.maximum(stay, self.effective[step.anchor] - arrived + 1_800)
        departed = arrived + stay
        share = self.draw.uniform("decision", rows)
        decided = arrived + np.floor(stay * (0.55 + 0.4 * share)).astype(np.int64)
        times = {
            "triaged": _part(
                self.draw, "triage", rows, arrived, np.stack([0.02 * stay, 0.10 * stay])
            ),
            "seen": _part(
                self.draw, "physician", rows, arrived, np.stack([0.15 * stay, 0.30 * stay])
            ),
            "decided": decided,
            "departed": departed,
        }
        times["triaged"][self.draw.chance("no_triage", rows, 0.01)] = NOTHING
        is_lwbs = disposition == int(Disposition.LWBS)
        times["seen"][is_lwbs] = NOTHING
        times["decided"][is_lwbs] = departed[is_lwbs]
        no_departure = self.draw.chance("no_departure", rows, 0.008)
        if step.after in (After.OVERLAP, After.TOUCH):
            no_departure[:] = False
        times["departed"][no_departure] = NOTHING
        if is_single:
            neither = no_departure & self.draw.chance("no_decision", rows, 0.15)
            times["decided"][neither] = NOTHING
        if step.disposition == Disposition.OPEN:
            times["decided"][:] = NOTHING
            times["departed"][:] = NOTHING
        known = np.where(times["departed"] != NOTHING, times["departed"], times["decided"])
        return times | {"effective": np.where(known != NOTHING, known, arrived)}


def _has_step_between(template: int, step: Step) -> bool:
    steps = TEMPLATES[template].steps
    return any(other.after == After.BETWEEN for other in steps) and step.after == After.RETURN


def _part(draw: Draw, purpose: str, rows: Ints, arrived: Ints, offset: Floats) -> Ints:
    """Return an instant somewhere in a window of the stay; ``offset`` holds start and width."""
    share = offset[0] + offset[1] * draw.uniform(purpose, rows)
    instant: Ints = arrived + np.floor(share).astype(np.int64)
    return instant


def _stay_seconds(draw: Draw, rows: Ints, disposition: Ints, is_planned: Bools) -> Ints:
    minutes = draw.lognormal("stay", rows, *_OTHER_STAY)
    for code, (median, spread, limits) in _STAY_MINUTES.items():
        chosen = np.flatnonzero(disposition == int(code))
        minutes[chosen] = draw.lognormal("stay", rows[chosen], median, spread, limits)
    chosen = np.flatnonzero(is_planned)
    minutes[chosen] = draw.lognormal("stay", rows[chosen], *_PLANNED_STAY)
    return np.floor(minutes * 60).astype(np.int64)


def positions_of(visits: Visits) -> Ints:
    """Return, for every row number up to the largest, its position; NOTHING where it was cut."""
    positions = np.full(int(visits.number.max()) + STEPS_MAX + 1, NOTHING, dtype=np.int64)
    positions[visits.number] = np.arange(len(visits))
    return positions
