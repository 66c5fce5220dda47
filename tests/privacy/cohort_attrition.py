"""A cohort's steps behind four publications, and a reader of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np

from tests.privacy.attrition import Secret, compiled_models, instead, small_secrets
from tests.privacy.test_published_intervals import Attacker
from tests.privacy.worlds import THROUGH, Name

RULES = range(6)
KINDS = ("persons", "events")
Counts = dict[tuple[str, int], int]  # (persons or events, rule) -> count


def draw_cohort(seed: int) -> list[Counts]:
    """Draw a cohort that loses a few at most steps, and to which a few come each time."""
    rng = np.random.default_rng(seed)
    losses = [int(rng.choice([0, 0, 1, 3, 12])) for _ in RULES]
    persons = int(rng.choice([14, 25, 60])) + sum(losses[1:])
    more = [int(value) for value in sorted(rng.choice([0, 1, 5, 20], len(RULES)), reverse=True)]
    builds = []
    for _ in THROUGH:
        left = [max(0, persons - sum(losses[1 : rule + 1])) for rule in RULES]
        counts = {("persons", rule): value for rule, value in enumerate(left)}
        counts |= {
            ("events", rule): value + (more[rule] if value else 0)
            for rule, value in enumerate(left)
        }
        builds.append(counts)
        persons += int(rng.choice([-1, 0, 1, 2, 12]))
        losses[int(rng.choice(len(RULES)))] += int(rng.choice([0, 1]))
    return builds


def shown_of(warehouse: Path, counts: Counts) -> dict[tuple[str, int], int | None]:
    """Run the compiled model over the counts of one build."""
    sql = (compiled_models(warehouse) / "published/published__rpt_cohort_attrition.sql").read_text()
    sql = instead(sql, "rpt_cohort_attrition", "drawn")
    with duckdb.connect(str(warehouse), read_only=True) as con:
        con.execute(
            "create temp table drawn (cohort_code varchar, rule_number int, rule_name varchar, "
            "persons_count bigint, events_count bigint)"
        )
        con.executemany(
            "insert into drawn values ('c', ?, 'rule', ?, ?)",
            [(rule, *(counts[kind, rule] for kind in KINDS)) for rule in RULES],
        )
        rows = con.execute(f"select rule_number, persons_count, events_count from ({sql})")
        return {
            (kind, rule): value
            for rule, *values in rows.fetchall()
            for kind, value in zip(KINDS, values, strict=True)
        }


class CohortReader:
    """Reads what all publications say of a cohort, and knows what is part of what."""

    def __init__(self, warehouse: Path, builds: list[Counts]) -> None:
        self.attacker = Attacker()
        self.truth: dict[Name, int] = {}
        for at, counts in enumerate(builds):
            shown = shown_of(warehouse, counts)
            for step, true in counts.items():
                self.truth[at, step] = true
                value = shown[step]
                if value is not None:
                    self.attacker.know((at, step), value - 9 if value else 0, value)
                elif 1 <= true <= 10:
                    self.attacker.know((at, step), 1, 10)
            for whole, part in _pairs():
                self.attacker.contain((at, whole), (at, part))

    def secrets(self) -> Iterator[Secret]:
        """Small counts, small differences of two steps, and small changes of both."""
        steps = [(kind, rule) for kind in KINDS for rule in RULES]
        return small_secrets(self.truth, steps, _pairs())


def _pairs() -> list[tuple[tuple[str, int], tuple[str, int]]]:
    later = [((kind, rule), (kind, rule + 1)) for kind in KINDS for rule in RULES[:-1]]
    return later + [(("events", rule), ("persons", rule)) for rule in RULES]
