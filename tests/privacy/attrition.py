"""The network's steps from registrations to returns behind four publications, and a reader of them.

What is shown of a step is the project's own SQL, as dbt compiled it, over the steps drawn here.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np

from tests.helpers.small_warehouse import HEADLINE
from tests.privacy.test_published_intervals import Attacker
from tests.privacy.worlds import HOSPITALS, THROUGH, Name, Worlds

RARE = ("planned", "unlinkable", "lwbs", "ama", "died", "open")
LATER = ("follow_up_incomplete", "outcome_unknown")
# Which steps add up to which.
SUMS = {
    "registrations": ("duplicate_registration", "visits"),
    "visits": (*RARE, "admitted", "index_visits"),
    "index_visits": (*LATER, "followed_index_visits"),
}
NESTED = (
    ("followed_index_visits", "returns_within_window"),
    ("returns_within_window", "numerator"),
)
STEPS = ("registrations", *(part for parts in SUMS.values() for part in parts))
STEPS = (*STEPS, *(part for _, part in NESTED))
# Sums of months that are a step of the headline measure.
MONTHS_OF = {"numerator": "numerator", "followed_index_visits": "index", "visits": "all"}
Steps = dict[tuple[str, str], int]  # (hospital, step) -> registrations
Step = Hashable
Secret = tuple[dict[Name, int], int]


@dataclass(frozen=True)
class Flow:
    """The steps behind each publication, and what it shows of the network's; None where hidden."""

    steps: list[Steps]
    shown: list[dict[str, int | None]]


def draw_flow(worlds: Worlds, seed: int) -> Flow:
    """Draw rare steps, most of one to ten in the whole network, that change a little each time."""
    rng = np.random.default_rng(seed)
    rare = {
        (hospital, step): int(rng.choice([0, 0, 0, 1, 1, 2, 9]))
        for hospital in HOSPITALS
        for step in ("duplicate_registration", *RARE, *LATER)
    }
    steps = []
    for at in range(len(THROUGH)):
        steps.append(_steps(rng, worlds, at, rare))
        rare = {
            place: max(0, value + int(rng.choice([0, 0, 0, 1, -1, 2])))
            for place, value in rare.items()
        }
    return Flow(steps, [_shown(worlds.warehouse, at, of) for at, of in enumerate(steps)])


def _months(worlds: Worlds, at: int, count: str) -> dict[Name, int]:
    """The headline's counts of the months that a build has data of."""
    return {
        name: value
        for name, value in worlds.truths[at].items()
        if name[0] == "month" and name[3:] == (HEADLINE, count) and name[2] <= THROUGH[at].date()
    }


def _steps(rng: np.random.Generator, worlds: Worlds, at: int, rare: Steps) -> Steps:
    found = dict(rare)
    for hospital in HOSPITALS:
        of = {step: value for (place, step), value in rare.items() if place == hospital}
        for step, count in MONTHS_OF.items():
            months = _months(worlds, at, count)
            of[step] = sum(value for name, value in months.items() if name[1] == hospital)
        of["returns_within_window"] = of["numerator"] + int(rng.choice([0, 1, 12]))
        of["index_visits"] = of["followed_index_visits"] + sum(of[step] for step in LATER)
        of["admitted"] = of["visits"] - of["index_visits"] - sum(of[step] for step in RARE)
        of["registrations"] = of["visits"] + of["duplicate_registration"]
        assert min(of.values()) >= 0
        found |= {(hospital, step): value for step, value in of.items()}
    return found


def _shown(warehouse: Path, at: int, steps: Steps) -> dict[str, int | None]:
    """Run the compiled models over the steps and the protected cells of one publication."""
    compiled = compiled_models(warehouse)
    safe = (compiled / "intermediate/publication/int_ed_return_cells__unexplained.sql").read_text()
    for name in ("cells", "periods"):
        safe = instead(
            safe,
            f"int_ed_return_{name}__protected",
            "(select * from {} where hospital_key like '%-" + str(at) + "')",
        )
    sql = (compiled / "published/published__rpt_ed_returns_attrition.sql").read_text()
    sql = instead(sql, "int_ed_return_cells__unexplained", f"({safe})")
    sql = instead(sql, "rpt_ed_returns_attrition", "drawn")
    order = {step: number for number, step in enumerate(STEPS)}
    with duckdb.connect(str(warehouse), read_only=True) as con:
        con.execute(
            "create temp table drawn (hospital_key varchar, step_code varchar, step_name varchar, "
            "step_number int, registrations_count bigint, is_exclusion boolean)"
        )
        con.executemany(
            "insert into drawn values (?, ?, ?, ?, ?, false)",
            [(h, step, step, order[step], value) for (h, step), value in steps.items()],
        )
        rows = con.execute(f"select step_code, registrations_count from ({sql})").fetchall()
    return dict(rows)


def compiled_models(warehouse: Path) -> Path:
    """Where dbt has left the SQL of the models that it built."""
    return warehouse.parent / "target" / "compiled" / "scutari" / "models"


def instead(sql: str, relation: str, other: str) -> str:
    """Put something in the place of a relation of the compiled SQL."""
    (named,) = {word for word in sql.split() if word.strip("()").endswith(f'"{relation}"')}
    return sql.replace(named, other.format(named))


class FlowReader:
    """Reads what all publications say of the steps, and knows how steps add up.

    Args:
        flow: what is read.
        attacker: who learns it.
        own: a hospital that knows its own steps whole; its secrets are the others'.
    """

    def __init__(self, flow: Flow, attacker: Attacker, own: str | None = None) -> None:
        self.attacker, self._own = attacker, own
        self.truth: dict[Name, int] = {}
        for at, (steps, shown) in enumerate(zip(flow.steps, flow.shown, strict=True)):
            for step in STEPS:
                of = {place: value for (place, name), value in steps.items() if name == step}
                mine = of.pop(own) if own else 0
                self._learn((at, step), mine, sum(of.values()), shown[step])
            for whole, parts in SUMS.items():
                attacker.add_up((at, whole), [(at, part) for part in parts])
            for whole, part in NESTED:
                attacker.contain((at, whole), (at, part))

    def _learn(self, name: Name, mine: int, others: int, shown: int | None) -> None:
        """Learn of the others' count what the network's says: it is up to nine too high."""
        self.truth[name] = others
        self.attacker.know(name, 0, Attacker.MUCH)
        if shown is not None:
            self.attacker.know(name, shown - 9 - mine if shown else 0, shown - mine)
        elif 1 <= others + mine <= 10:
            self.attacker.know(name, 1 - mine, 10 - mine)

    def secrets(self) -> Iterator[Secret]:
        """Small counts, small differences of two steps, and small changes of both."""
        pairs = [(whole, part) for whole, parts in SUMS.items() for part in parts]
        return small_secrets(self.truth, STEPS, (*pairs, *NESTED))


def small_secrets(
    truth: Mapping[Name, int], steps: Iterable[Step], pairs: Iterable[tuple[Step, Step]]
) -> Iterator[Secret]:
    """Sums of steps that are 1 to 10: of one publication, or of what changed between two.

    Args:
        truth: what is behind each step of each publication.
        steps: the steps.
        pairs: a step and one that is part of it.
    """
    builds = range(len(THROUGH))
    differences = [{step: 1} for step in steps] + [{whole: 1, part: -1} for whole, part in pairs]
    for terms in differences:
        asked = [{(at, s): n for s, n in terms.items()} for at in builds]
        asked += [
            asked[later] | {name: -sign for name, sign in asked[first].items()}
            for first, later in itertools.combinations(builds, 2)
        ]
        for of in asked:
            value = sum(sign * truth[name] for name, sign in of.items())
            if 1 <= abs(value) <= 10:
                yield of, value


def add_months(attacker: Attacker, worlds: Worlds) -> None:
    """Let a reader of months know which steps are their sums."""
    for at in range(len(THROUGH)):
        for step, count in MONTHS_OF.items():
            months = [(at, *name) for name in _months(worlds, at, count)]
            for name in months:
                attacker.know(name, 0, Attacker.MUCH)
            attacker.add_up((at, step), months)
