"""Which condition every visit has: the planted pairs first, exactly, then everybody else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.conditions import (
    ALL_CODES,
    CONDITIONS,
    GROUP_OF,
    GROUPS,
    IS_ABDOMINAL,
    POSITION_OF,
    draw_codes,
    draw_conditions,
)
from demo.draw import Bools, Draw, Floats, Ints
from demo.ed import NOTHING, Visits, positions_of
from demo.episodes import People, row_numbers
from demo.inpatient import Stays
from demo.plans import Plan, PlanError
from demo.templates import TEMPLATES, Disposition
from demo.zones import DAY

_YEAR_DAYS = 365.2425


@dataclass(frozen=True)
class Pairs:
    """Planted index visits and their returns, as positions in the visits.

    Attributes:
        index: the registration that sends the patient home.
        first: first registration of the return stay.
        last: last registration of the return stay.
        is_numerator: planted as an admitted return within 72 h.
    """

    index: Ints
    first: Ints
    last: Ints
    is_numerator: Bools

    def __len__(self) -> int:
        return len(self.index)


def planted_pairs(visits: Visits) -> Pairs:
    """List the pairs that the templates plant and that are not cut off."""
    positions = positions_of(visits)
    parts: list[tuple[Ints, Ints, Ints, Bools]] = []
    for number, template in enumerate(TEMPLATES):
        episodes = np.unique(visits.episode[visits.template == number])
        for index_step, stay in template.returns:
            steps = [i for i, step in enumerate(template.steps) if step.stay == stay]
            index = positions[row_numbers(episodes, index_step)]
            first = positions[row_numbers(episodes, steps[0])]
            last = positions[row_numbers(episodes, steps[-1])]
            kept = (index != NOTHING) & (first != NOTHING) & (last != NOTHING)
            is_admitted = template.steps[steps[-1]].disposition == Disposition.ADMITTED
            numerator = np.full(int(kept.sum()), template.has_numerator and is_admitted)
            parts.append((index[kept], first[kept], last[kept], numerator))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return Pairs(*(column[order] for column in columns))


def assign_conditions(plan: Plan, draw: Draw, people: People, visits: Visits, pairs: Pairs) -> Ints:
    """Return the condition of every visit."""
    years = (visits.arrived / DAY - people.born[visits.person]) / _YEAR_DAYS
    band = np.digitize(years, [18.0, 65.0])
    is_admitted = visits.disposition == int(Disposition.ADMITTED)
    everything = np.ones(len(CONDITIONS), dtype=np.bool_)
    condition = draw_conditions(
        draw, "condition", visits.number, band=band, is_admitted=is_admitted, allowed=everything
    )
    _assign_planned(visits, condition)
    plain = everything if plan.is_censored else GROUP_OF == 0
    _assign_other_pairs(draw, visits, band=band, condition=condition, pairs=pairs, allowed=plain)
    chosen = np.flatnonzero(pairs.is_numerator)
    wanted = _allocate(plan, draw, years[pairs.last[chosen]], visits.number[pairs.last[chosen]])
    _assign_numerator(
        plan,
        draw,
        visits,
        band=band,
        condition=condition,
        pairs=pairs,
        chosen=chosen,
        wanted=wanted,
    )
    return condition


def _assign_planned(visits: Visits, condition: Ints) -> None:
    condition[visits.is_planned] = POSITION_OF["recheck"]


def _assign_other_pairs(
    draw: Draw, visits: Visits, *, band: Ints, condition: Ints, pairs: Pairs, allowed: Bools
) -> None:
    """Return for the same reason, mostly; and, where counts are exact, for no planted group."""
    others = ~pairs.is_numerator
    index, last = pairs.index[others], pairs.last[others]
    ends_admitted = visits.disposition[last] == int(Disposition.ADMITTED)
    drawn = draw_conditions(
        draw,
        "return_condition",
        visits.number[last],
        band=band[last],
        is_admitted=ends_admitted,
        allowed=allowed,
    )
    same = draw.chance("same_reason", visits.number[last], 0.6) & ~ends_admitted
    condition[last] = np.where(same, condition[index], drawn)


def _allocate(plan: Plan, draw: Draw, years: Floats, rows: Ints) -> Ints:
    """Give each planted group as many pairs as the plan asks for; returns group numbers."""
    wanted = np.zeros(len(rows), dtype=np.int64)
    rank = draw.uniform("group_rank", rows)
    bounds = (
        ("sepsis", plan.paediatric_sepsis, years < 16),  # noqa: PLR2004
        ("sah", plan.sah, years > 25),  # noqa: PLR2004
        ("ami", plan.ami, years > 35),  # noqa: PLR2004
        ("appendicitis", plan.appendicitis, (years > 5) & (years < 70)),  # noqa: PLR2004
    )
    for name, count, fits in bounds:
        free = np.flatnonzero(fits & (wanted == 0))
        if len(free) < count:
            raise PlanError(plan.visits)
        wanted[free[np.argsort(rank[free], kind="stable")[:count]]] = GROUPS.index(name)
    return wanted


def _assign_numerator(
    plan: Plan,
    draw: Draw,
    visits: Visits,
    *,
    band: Ints,
    condition: Ints,
    pairs: Pairs,
    chosen: Ints,
    wanted: Ints,
) -> None:
    index, last = pairs.index[chosen], pairs.last[chosen]
    rows = visits.number[index]
    # Appendicitis comes back after abdominal pain; the rest of the abdominal pairs are drawn.
    rank = draw.uniform("abdominal_rank", rows) + (GROUPS.index("appendicitis") != wanted)
    is_abdominal = np.zeros(len(chosen), dtype=np.bool_)
    is_abdominal[np.argsort(rank, kind="stable")[: plan.abdominal]] = True
    for flag, allowed in ((True, IS_ABDOMINAL), (False, ~IS_ABDOMINAL)):
        part = is_abdominal == flag
        condition[index[part]] = draw_conditions(
            draw,
            "index_condition",
            rows[part],
            band=band[index[part]],
            is_admitted=np.zeros(int(part.sum()), np.bool_),
            allowed=allowed,
        )
    condition[last] = draw_conditions(
        draw,
        "return_condition",
        visits.number[last],
        band=band[last],
        is_admitted=np.ones_like(is_abdominal),
        allowed=GROUP_OF == 0,
    )
    for number, name in enumerate(GROUPS[1:], start=1):
        members = np.flatnonzero(GROUP_OF == number)
        condition[last[wanted == number]] = members[0]
        if len(members) != 1:
            raise ValueError(f"the group {name} has more than one condition")


@dataclass(frozen=True)
class MainDiagnoses:
    """Main diagnoses as positions in ALL_CODES; NOTHING where none was written down."""

    of_visit: Ints
    of_stay: Ints


def main_diagnoses(draw: Draw, visits: Visits, stays: Stays, condition: Ints) -> MainDiagnoses:
    """Draw the main diagnosis of each visit and, once it has ended, of each inpatient stay."""
    of_visit = draw_codes(draw, "ed_code", visits.number, condition, on_ward=False)
    is_undiagnosed = (visits.seen == NOTHING) | (visits.disposition == int(Disposition.OPEN))
    is_undiagnosed |= (visits.template == 0) & draw.chance("not_coded", visits.number, 0.01)
    of_visit[is_undiagnosed] = NOTHING
    ward = draw.below("elective_reason", stays.number, 6)
    reasons = np.array(
        [POSITION_OF[name] for name in ("gallstones", "diverticulitis", "kidney_stone")]
        + [POSITION_OF[name] for name in ("heart_failure", "copd", "back_pain")]
    )
    reason = np.where(stays.kind == 0, condition[stays.visit], reasons[ward])
    of_stay = draw_codes(draw, "ward_code", stays.number, reason, on_ward=True)
    of_stay[stays.discharged == NOTHING] = NOTHING
    return MainDiagnoses(of_visit, of_stay)


def codes_of_group(prefixes: tuple[str, ...]) -> Bools:
    """Return, per entry of ALL_CODES and one more for NOTHING, whether a prefix fits."""
    flags = [code.replace(".", "").startswith(prefixes) for code in ALL_CODES]
    return np.array([*flags, False])
