"""An attacker who has kept every publication against what changed between them.

Late registrations, corrections, erased persons and merged records change the counts of closed
months. The attacker has all figures of all publications, knows the rules of hiding and of freezing
and which build each figure comes from, and asks an integer programme not only for the hidden counts
but for every small change: of a count, of what a count leaves of another, of one measure within
another. Three values must stay possible for each.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ops.publication.frozen_cells import FROZEN, OPEN, Figures, freeze, half_year_of, latest_closed
from ops.publication.history import may_revise
from tests.helpers.small_warehouse import ANY_RETURN, HEADLINE
from tests.privacy.attrition import FlowReader, add_months, draw_flow
from tests.privacy.cohort_attrition import CohortReader, draw_cohort
from tests.privacy.test_published_intervals import COUNTS, PARTS, POSSIBLE, SENTINEL, Attacker
from tests.privacy.worlds import THROUGH, Name, Publication, Worlds

pytestmark = pytest.mark.integration


def published(builds: list[Publication]) -> list[Publication]:
    """What readers see, one publication after the other."""
    past: tuple[list[Figures], list[Figures]] = ([], [])
    seen = []
    for at, (months, halves) in enumerate(builds):
        shown = freeze(months, halves, *past, may_revise=may_revise(halves, *past))
        for rows, new in zip(past, (shown.new_months, shown.new_half_years), strict=True):
            rows += [replace(row, published_at=THROUGH[at]) for row in new]
        seen.append((shown.months, shown.half_years))
    return seen


class Reader:
    """Reads every publication, and knows which build stands behind each figure."""

    def __init__(self, truths: list[dict[Name, int]]) -> None:
        self.attacker = Attacker()
        self.truths = truths
        self.seen: dict[Name, int] = {}  # (build, kind, hospital, period, measure, count) -> truth

    def read(self, months: list[Figures], halves: list[Figures]) -> None:
        """Learn all that one publication says."""
        built: dict[tuple[str, dt.date], int] = {}
        for half in _blocks(halves):
            if not any(row.suppression_code in (OPEN, FROZEN) for row in half):
                through = {row.data_through_at for row in half}
                place = half[0].hospital_key, half[0].period_on
                # What was summed from frozen months bears their time: it says nothing new.
                if len(through) == 1 and latest_closed(half) == place[1]:
                    at = THROUGH.index(through.pop())
                    if place[1] < half_year_of(THROUGH[at].date()):
                        built[place] = at
                        self._cell("half", half, at)
        sums: dict[Name, list[Name]] = {}
        for month in _blocks(months):
            if any(row.suppression_code == OPEN for row in month):
                continue
            hospital, at_month = month[0].hospital_key, month[0].period_on
            place = hospital, half_year_of(at_month)
            at = built.get(place, THROUGH.index(month[0].data_through_at))
            for name in self._cell("month", month, at):
                if place in built:
                    whole = (at, "half", hospital, place[1], *name[4:])
                    sums.setdefault(whole, []).append(name)
        for whole, parts in sums.items():
            self.attacker.add_up(whole, parts)

    def _cell(self, kind: str, block: list[Figures], at: int) -> list[Name]:
        names = []
        head = (at, kind, block[0].hospital_key, block[0].period_on)
        for row in block:
            of_row = [(*head, row.measure_code, count) for count in COUNTS]
            for name, value in zip(of_row, row.counts, strict=True):
                self._learn(name, value)
            for part, whole in (of_row[:2], of_row[1:]):
                self.attacker.contain(whole, part)
            names += of_row
        parts = [(*head, part, "numerator") for part in PARTS]
        self.attacker.add_up((*head, SENTINEL, "numerator"), parts)
        self.attacker.contain((*head, ANY_RETURN, "numerator"), (*head, HEADLINE, "numerator"))
        for one, other in ((HEADLINE, ANY_RETURN), *((SENTINEL, part) for part in PARTS)):
            for count in COUNTS[1:]:
                self.attacker.add_up((*head, one, count), [(*head, other, count)])
        return names

    def _learn(self, name: Name, value: int | None) -> None:
        true = self.truths[name[0]][name[1:]]
        self.seen[name] = true
        if value is not None:
            self.attacker.know(name, value, value)
        elif 1 <= true <= 10:
            self.attacker.know(name, 1, 10)

    def secrets(self) -> Iterator[tuple[dict[Name, int], int]]:
        """Sums of what is behind the figures that are 1 to 10, and what they are."""
        for terms in self._counts_and_differences():
            value = sum(sign * self.seen[name] for name, sign in terms.items())
            if 1 <= abs(value) <= 10:
                yield terms, value
        for name in self.seen:
            for later in range(name[0] + 1, len(THROUGH)):
                if (later, *name[1:]) in self.seen:
                    yield from self._changes(name, later)

    def _counts_and_differences(self) -> Iterator[dict[Name, int]]:
        for name in self.seen:
            yield {name: 1}
            yield from ({whole: 1, name: -1} for whole in _wholes(name))

    def _changes(self, name: Name, later: int) -> Iterator[tuple[dict[Name, int], int]]:
        change = {(later, *name[1:]): 1, name: -1}
        found = [change]
        for whole in _wholes(name):
            if (later, *whole[1:]) in self.seen:
                found.append(
                    {(later, *whole[1:]): 1, whole: -1} | {n: -s for n, s in change.items()}
                )
        for terms in found:
            value = sum(sign * self.seen[term] for term, sign in terms.items())
            if 1 <= abs(value) <= 10:
                yield terms, value


def _wholes(name: Name) -> list[Name]:
    *cell, code, count = name
    wholes = [(*cell, code, other) for other in COUNTS[COUNTS.index(count) + 1 :]]
    if (code, count) == (HEADLINE, "numerator"):
        wholes.append((*cell, ANY_RETURN, count))
    return wholes


def _blocks(rows: list[Figures]) -> list[list[Figures]]:
    blocks: dict[tuple[str, dt.date], list[Figures]] = {}
    for row in rows:
        blocks.setdefault((row.hospital_key, row.period_on), []).append(row)
    return list(blocks.values())


def derived(
    reader: Reader | FlowReader | CohortReader, *, enough: int = 1000
) -> tuple[list[str], int, int]:
    """What comes out; how many small counts and how many small changes were asked for."""
    found, counts, changes = [], 0, 0
    for terms, value in reader.secrets():
        is_change = len({name[0] for name in terms}) > 1
        counts, changes = counts + (not is_change), changes + is_change
        low, high = reader.attacker.interval(terms)
        assert low <= value <= high, "the attacker's own reasoning is wrong"
        if high - low + 1 < POSSIBLE:
            found.append(f"{value} is {low} to {high}: {terms}")
        if len(found) >= enough:
            break
    return found, counts, changes


def test_no_small_change_can_be_derived_from_all_publications(many_worlds: Worlds) -> None:
    reader = Reader(many_worlds.truths)
    seen = published(many_worlds.builds)
    for publication in seen:
        reader.read(*publication)
    found, counts, changes = derived(reader)
    assert found == []
    assert counts > 100
    # Freezing everything for ever would pass too: late batches must have come through.
    assert changes > 5
    before = {(row.hospital_key, row.period_on): row.data_through_at for row in seen[2][0]}
    revised = {
        (row.hospital_key, row.period_on)
        for row in seen[3][0]
        if row.numerator is not None and row.data_through_at == THROUGH[3]
    }
    assert len([place for place in revised if before.get(place, THROUGH[3]) < THROUGH[2]]) > 3


def test_without_freezing_the_same_reader_finds_small_changes(many_worlds: Worlds) -> None:
    reader = Reader(many_worlds.truths)
    for publication in many_worlds.builds:
        reader.read(*publication)
    found, _, changes = derived(reader, enough=20)
    assert len(found) == 20
    assert changes >= 20


def test_steps_to_date_give_no_small_count_and_no_small_change(many_worlds: Worlds) -> None:
    """Asked of the steps alone, and of the others' by a hospital that takes its own off."""
    asked = [0, 0]
    for seed in range(4):
        flow = draw_flow(many_worlds, seed)
        for own in (None, "north", "lower"):
            found, counts, changes = derived(FlowReader(flow, Attacker(), own))
            assert found == []
            asked = [asked[0] + counts, asked[1] + changes]
        # Hiding everything would pass, too.
        assert sum(value is not None for of in flow.shown for value in of.values()) > 30
    assert min(asked) > 100


def test_steps_beside_the_months_give_no_more(many_worlds: Worlds) -> None:
    reader = Reader(many_worlds.truths)
    for publication in published(many_worlds.builds):
        reader.read(*publication)
    steps = FlowReader(draw_flow(many_worlds, 0), reader.attacker)
    add_months(reader.attacker, many_worlds)
    for one in (reader, steps):
        found, counts, changes = derived(one)
        assert found == []
        assert min(counts, changes) > 5


def test_exact_steps_would_give_small_ones(many_worlds: Worlds) -> None:
    flow = draw_flow(many_worlds, 0)
    reader = FlowReader(flow, Attacker())
    for at, shown in enumerate(flow.shown):
        for step, value in shown.items():
            if value is not None:
                true = reader.truth[at, step]
                reader.attacker.know((at, step), true, true)
    found, _, _ = derived(reader, enough=20)
    assert len(found) == 20


def test_a_cohorts_steps_give_no_small_count_and_no_small_change(many_worlds: Worlds) -> None:
    asked = [0, 0]
    for seed in range(12):
        reader = CohortReader(many_worlds.warehouse, draw_cohort(seed))
        found, counts, changes = derived(reader)
        assert found == []
        asked = [asked[0] + counts, asked[1] + changes]
    assert min(asked) > 100
