"""Who has which episode when: people, their hospitals, and the days of their episodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.draw import Bools, Draw, Floats, Ints
from demo.kin import Kin, plan_kin
from demo.plans import Plan, PlanError
from demo.templates import NUMBER_OF, STEPS_MAX, TEMPLATES
from demo.zones import day_number

# More than 30 days lie between the end of one episode and the start of the next: no episode is
# longer than 11 days.
SPACING_DAYS = 43
_QUIET_END_DAYS = 20


@dataclass(frozen=True)
class People:
    """Who lives in the network's area.

    Attributes:
        hospitals: three hospitals of each person, the home hospital first; positions in the plan.
        goes_elsewhere: whether the person uses the second hospital now and then.
        born: birth date, days since 1970-01-01.
        is_female: administrative sex.
        kin: who lives with whom.
    """

    count: int
    hospitals: Ints
    goes_elsewhere: Bools
    born: Ints
    is_female: Bools
    kin: Kin


@dataclass(frozen=True)
class Episodes:
    """One entry per episode, in order of person and time."""

    person: Ints
    day: Ints
    is_last: Bools
    template: Ints

    def __len__(self) -> int:
        return len(self.person)


def plan_people(plan: Plan, draw: Draw, count: int) -> People:
    """Draw the people of a network."""
    ids = np.arange(count)
    number = len(plan.hospitals)
    home = draw.choice("home_hospital", ids, [hospital.weight for hospital in plan.hospitals])
    reach = min(5, number - 1)
    first = 1 + draw.below("second_hospital", ids, reach)
    second = 1 + draw.below("third_hospital", ids, reach - 1)
    second += second >= first
    hospitals = np.stack([home, (home + first) % number, (home + second) % number], axis=1)
    is_female = draw.chance("is_female", ids, 0.52)
    born = _birth_days(plan, draw, ids)
    kin, born = plan_kin(draw, born, is_female, day_number(plan.first_day))
    return People(
        count=count,
        hospitals=hospitals[kin.head],
        goes_elsewhere=draw.chance("goes_elsewhere", ids, plan.several_hospitals_share),
        born=born,
        is_female=is_female,
        kin=kin,
    )


def _birth_days(plan: Plan, draw: Draw, ids: Ints) -> Ints:
    """Draw birth dates: children, adults, older people; a few are over a hundred."""
    band = draw.choice("age_band", ids, [0.22, 0.50, 0.28])
    low = np.array([0.02, 18.0, 65.0])[band]
    width = np.array([17.9, 47.0, 28.0])[band]
    years = low + width * draw.uniform("age", ids)
    years = np.where(draw.chance("is_very_old", ids, 0.004), 95 + 9 * (years % 1), years)
    return day_number(plan.first_day) - np.floor(years * 365.25).astype(np.int64)


def plan_episodes(plan: Plan, draw: Draw) -> tuple[People, Episodes]:
    """Draw people and their episodes, and give every episode its template."""
    multi_legs = sum(
        template.legs_count * plan.counts.get(template.name, 0) for template in TEMPLATES
    )
    singles = plan.visits - multi_legs
    if singles < 0:
        raise PlanError(plan.visits)
    total = singles + sum(plan.counts.values())
    sizes = _episodes_per_person(plan, draw, total)
    people = plan_people(plan, draw, len(sizes))
    person = np.repeat(np.arange(len(sizes)), sizes)
    day, is_last = _days(plan, draw, person, sizes)
    template = _assign_templates(plan, draw, people, person=person, day=day, is_last=is_last)
    return people, Episodes(person, day, is_last, template)


def _episodes_per_person(plan: Plan, draw: Draw, total: int) -> Ints:
    shares = np.asarray(plan.episode_shares)
    mean = float((shares * np.arange(1, len(shares) + 1)).sum() / shares.sum())
    candidates = int(total / mean * 1.2) + 100
    sizes = 1 + draw.choice("episodes_per_person", np.arange(candidates), shares)
    reached = np.cumsum(sizes)
    count = int(np.searchsorted(reached, total)) + 1
    sizes = sizes[:count].copy()
    sizes[-1] -= int(reached[count - 1]) - total
    return sizes


def _days(plan: Plan, draw: Draw, person: Ints, sizes: Ints) -> tuple[Ints, Bools]:
    """Spread each person's episodes over the period, at least SPACING_DAYS apart."""
    if (sizes.max() - 1) * SPACING_DAYS >= plan.days:
        raise ValueError("the period is too short for that many episodes of one person")
    ids = np.arange(len(person))
    share = draw.uniform("episode_day", ids)
    share = share[np.lexsort((share, person))]
    starts = np.cumsum(sizes) - sizes
    position = ids - starts[person]
    span = plan.days - (sizes[person] - 1) * SPACING_DAYS
    day = np.floor(share * span).astype(np.int64) + position * SPACING_DAYS
    return day, position == sizes[person] - 1


def _assign_templates(
    plan: Plan, draw: Draw, people: People, *, person: Ints, day: Ints, is_last: Bools
) -> Ints:
    """Give each planted template its episodes, more of them where returns are likelier."""
    ids = np.arange(len(person))
    weight = _return_weights(plan, people.hospitals[person, 0], day)
    rank = -np.log(1.0 - draw.uniform("template_rank", ids)) / weight
    template = np.zeros(len(person), dtype=np.int64)
    quiet = day < plan.days - _QUIET_END_DAYS
    near_end = (day >= plan.days - 26) & (day < plan.days - 6)
    alone = ("return_died", "return_never_closed")
    long = [t.name for t in TEMPLATES[1:] if not t.is_simple_pair]
    pairs = [t.name for t in TEMPLATES[1:] if t.is_simple_pair and t.name not in alone]
    rounds: list[tuple[list[str], Bools]] = [
        (["return_died"], is_last & quiet),
        (["return_never_closed"], is_last & near_end),
        (long, quiet),
        (pairs, np.ones_like(quiet) if plan.is_censored else quiet),
    ]
    for names, eligible in rounds:
        free = np.flatnonzero(eligible & (template == 0))
        wanted = np.repeat(
            [NUMBER_OF[name] for name in names], [plan.counts[name] for name in names]
        )
        if len(free) < len(wanted):
            raise PlanError(plan.visits)
        chosen = free[np.argpartition(rank[free], len(wanted) - 1)[: len(wanted)]]
        shuffled = chosen[np.argsort(draw.uniform("template_order", chosen))]
        template[shuffled] = wanted
    return template


def _return_weights(plan: Plan, hospital: Ints, day: Ints) -> Floats:
    """Return how likely an episode is a return: by hospital, and changing once at one of them."""
    effects = np.array([h.return_effect for h in plan.hospitals])
    weight: Floats = effects[hospital]
    if plan.name == "default":
        improved = (hospital == 1) & (day > 330)  # noqa: PLR2004 - December 2025
        weight = np.where(improved, weight * 0.6, weight)
    return weight


def row_numbers(episode: Ints, step: int) -> Ints:
    """Return the number that identifies a step of an episode in every draw."""
    return episode * STEPS_MAX + step
