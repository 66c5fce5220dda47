"""An attacker with the network's reference for standardisation against the strata behind it.

The attacker knows every hospital's shown returns and visits, the reference's strata, how they were
joined, and may be one of the hospitals: then its own strata are known and taken off. Asked is for
every small count of another hospital, in a stratum of the declared model or of the reference.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from ops.publication import reference
from ops.publication.frozen_cells import Figures, freeze
from ops.publication.history import may_revise
from ops.publication.reference import NOBODY, Counts, Reference, joined_strata, new_references
from tests.helpers.small_warehouse import HEADLINE
from tests.privacy.test_publications_over_time import Reader, derived
from tests.privacy.test_published_intervals import POSSIBLE, Attacker
from tests.privacy.worlds import THROUGH, Worlds

pytestmark = pytest.mark.integration

ORDER = ["a", "b", "c", "d", "e", "f"]
Mixes = dict[str, dict[str, Counts]]  # hospital -> stratum -> counts
Groups = list[tuple[str, ...]]
KINDS = ("returns", "others")


@dataclass(frozen=True)
class Secret:
    """A count of one hospital: of index visits with a return, or of those without one."""

    hospital: str
    codes: tuple[str, ...]
    kind: str


def draw(seed: int, hospitals: int) -> Mixes:
    """Draw hospitals that are shown: of returns, and of other visits, none or eleven and more."""
    rng = np.random.default_rng(seed)
    found: Mixes = {}
    while len(found) < hospitals:
        mix = {}
        for code in ORDER:
            few, many = int(rng.choice([1, 2, 9])), int(rng.integers(11, 26))
            returns = int(rng.choice([0, few, few, many]))
            mix[code] = Counts(returns, returns + int(rng.choice([0, few, 60, 200])))
        whole = sum(mix.values(), NOBODY)
        if not (1 <= whole.returns <= 10 or 1 <= whole.visits - whole.returns <= 10):
            found[f"h{len(found)}"] = mix
    return found


def groups_of(mixes: Mixes) -> Groups:
    """How the published strata are joined; all in one where no reference is published."""
    strata = joined_strata(ORDER, list(mixes.values()))
    return [of.codes for of in strata] or [tuple(ORDER)]


def count(counts: Counts, kind: str) -> int:
    return counts.returns if kind == "returns" else counts.visits - counts.returns


def summed(mixes: Mixes, hospital: str, codes: Sequence[str], kind: str) -> int:
    return sum(count(mixes[hospital][code], kind) for code in codes)


def secrets(mixes: Mixes, own: str | None) -> Iterator[tuple[Secret, int]]:
    """Every small count of another hospital."""
    several = [codes for codes in groups_of(mixes) if 1 < len(codes) < len(ORDER)]
    for hospital, codes, kind in itertools.product(
        mixes, [*((code,) for code in ORDER), *several], KINDS
    ):
        value = summed(mixes, hospital, codes, kind)
        if hospital != own and 1 <= value <= 10:
            yield Secret(hospital, codes, kind), value


def read(mixes: Mixes, own: str | None) -> Attacker:
    """Learn the published figures, and one's own."""
    attacker = Attacker()
    for kind in KINDS:
        for hospital in mixes:
            cells = [(hospital, code, kind) for code in ORDER]
            if hospital == own:
                for cell in cells:
                    value = summed(mixes, hospital, (cell[1],), kind)
                    attacker.know(cell, value, value)
            total = summed(mixes, hospital, ORDER, kind)
            attacker.know((hospital, kind), total, total)
            attacker.add_up((hospital, kind), cells)
        for codes in groups_of(mixes):
            total = sum(summed(mixes, hospital, codes, kind) for hospital in mixes)
            attacker.know((codes, kind), total, total)
            attacker.add_up(
                (codes, kind), [(hospital, code, kind) for hospital in mixes for code in codes]
            )
    return attacker


def found_out(mixes: Mixes, own: str | None) -> tuple[list[str], int]:
    """What the attacker can tell to less than three values; and how much was asked."""
    attacker, found, asked = read(mixes, own), [], 0
    for secret, value in secrets(mixes, own):
        terms = {(secret.hospital, code, secret.kind): 1 for code in secret.codes}
        low, high = attacker.interval(terms)
        assert low <= value <= high, "the attacker's own reasoning is wrong"
        asked += 1
        if high - low + 1 < POSSIBLE:
            found.append(f"{value} is {low} to {high}: {secret}")
    return found, asked


WORLDS = [(1, 4), (2, 6), (3, 8)]


@pytest.mark.parametrize(("seed", "hospitals"), WORLDS)
def test_no_small_count_comes_out_of_the_reference(seed: int, hospitals: int) -> None:
    mixes = draw(seed, hospitals)
    assert len(groups_of(mixes)) > 1, "hiding everything would pass, too"
    for own in (None, "h0", "h2"):
        found, asked = found_out(mixes, own)
        assert found == []
        assert asked > 10


def everything_is_safe(sums: Sequence[Counts], wholes: Sequence[Counts]) -> bool:
    return True


def whole_is_enough(sums: Sequence[Counts], wholes: Sequence[Counts]) -> bool:
    whole = sum(sums, NOBODY)
    return min(whole.returns, whole.others) >= reference.SMALLEST_REST


def rest_is_enough(sums: Sequence[Counts], wholes: Sequence[Counts]) -> bool:
    """What is left of the stratum itself when any one hospital takes its own off."""
    whole = sum(sums, NOBODY)
    returns, others = max(of.returns for of in sums), max(of.others for of in sums)
    return min(whole.returns - returns, whole.others - others) >= reference.SMALLEST_REST


@pytest.mark.parametrize(
    ("rule", "own"),
    [(everything_is_safe, None), (everything_is_safe, "h0"), (whole_is_enough, "h0")],
)
def test_without_the_rule_the_same_attacker_finds_small_counts(
    monkeypatch: pytest.MonkeyPatch, rule: Any, own: str | None
) -> None:
    monkeypatch.setattr(reference, "is_safe", rule)
    found = [of for seed in range(5, 12) for of in found_out(draw(seed, 3), own)[0]]
    assert found


def moved(mixes: Mixes, secret: Secret, own: str | None, by: int) -> Iterator[Mixes]:
    """Give other networks in which a count is another one and the shown sums are the same."""
    (code,) = secret.codes
    for steps in _steps(mixes, secret.hospital, code, own):
        changed = {hospital: dict(mix) for hospital, mix in mixes.items()}
        for hospital, of, sign in steps:
            more = Counts(sign * by if secret.kind == "returns" else 0, sign * by)
            changed[hospital][of] += more
        yield changed


def _steps(
    mixes: Mixes, hospital: str, code: str, own: str | None
) -> Iterator[list[tuple[str, str, int]]]:
    """Within a joined stratum a hospital alone may differ; anywhere another may make up for it."""
    groups = groups_of(mixes)
    group = next(codes for codes in groups if code in codes)
    for other in (of for of in ORDER if of != code):
        mine = [(hospital, code, 1), (hospital, other, -1)]
        if other in group:
            yield mine
        others = next(codes for codes in groups if other in codes)
        for partner, gives, takes in itertools.product(mixes, group, others):
            if partner not in (hospital, own):
                yield [*mine, (partner, gives, -1), (partner, takes, 1)]


def is_possible(mixes: Mixes) -> bool:
    return all(0 <= of.returns <= of.visits for mix in mixes.values() for of in mix.values())


def pinned(mixes: Mixes, own: str | None) -> tuple[list[str], int]:
    """Small counts for which no two others are found that are published just alike; how many."""
    shown, found, asked = joined_strata(ORDER, list(mixes.values())), [], 0
    for secret, value in secrets(mixes, own):
        if len(secret.codes) == 1:
            values = {value}
            for by in (-1, 1, -2, 2, -3, 3, 4, 5, 6):
                if len(values) < POSSIBLE and any(
                    is_possible(other) and joined_strata(ORDER, list(other.values())) == shown
                    for other in moved(mixes, secret, own, by)
                ):
                    values.add(value + by)
            asked += 1
            if len(values) < POSSIBLE:
                found.append(f"{secret} can only be {values}")
    return found, asked


@pytest.mark.parametrize(("seed", "hospitals"), [*WORLDS, (13, 3)])
def test_how_strata_were_joined_tells_no_small_count_either(seed: int, hospitals: int) -> None:
    for own in (None, "h0", "h2"):
        found, asked = pinned(draw(seed, hospitals), own)
        assert found == []
        assert asked > 5


def test_a_rule_about_hidden_counts_would_tell_them_by_being_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """20 returns in a stratum, 2 of them the reader's: 9 and 9, or one of them would leave ten."""
    monkeypatch.setattr(reference, "is_safe", rest_is_enough)
    assert pinned(draw(9, 3), "h2")[0]


def test_the_reference_beside_all_publications_gives_no_more(many_worlds: Worlds) -> None:
    """It is made once for each half-year; months and half-years are frozen and revised about it."""
    rng = np.random.default_rng(3)
    reader = Reader(many_worlds.truths)
    past: tuple[list[Figures], list[Figures]] = ([], [])
    made = []
    for at, (months, halves) in enumerate(many_worlds.builds):
        shown = freeze(months, halves, *past, may_revise=may_revise(halves, *past))
        mixes = {
            ((row.period_on, HEADLINE), row.hospital_key): _divided(rng, many_worlds, at, row)
            for row in halves
            if row.measure_code == HEADLINE
        }
        for of in new_references(halves, shown.new_half_years, past[1], ["young", "old"], mixes):
            made.append(of)
            _learn(reader, at, of, shown.new_half_years)
        reader.read(shown.months, shown.half_years)
        for rows, new in zip(past, (shown.new_months, shown.new_half_years), strict=True):
            rows += [replace(row, published_at=THROUGH[at]) for row in new]
    assert made
    assert len({of.period_on for of in made}) == len(made)
    found, counts, changes = derived(reader)
    assert found == []
    assert min(counts, changes) > 5


def _divided(rng: np.random.Generator, worlds: Worlds, at: int, row: Figures) -> Any:
    name = ("half", row.hospital_key, row.period_on, HEADLINE)
    returns, visits = (worlds.truths[at].get((*name, of), 0) for of in ("numerator", "index"))
    young = int(rng.binomial(returns, 0.5))
    few = young + int(rng.binomial(visits - returns, 0.5))
    return {"young": Counts(young, few), "old": Counts(returns - young, visits - few)}


def _learn(reader: Reader, at: int, of: Reference, shown: list[Figures]) -> None:
    """Read a reference: its strata are sums over the hospitals whose half-year stands behind it."""
    members = [
        row.hospital_key
        for row in shown
        if (row.period_on, row.measure_code) == (of.period_on, HEADLINE)
        and row.numerator is not None
        and row.data_through_at == THROUGH[at]
    ]
    assert len(members) == of.hospitals_count
    for count_name, attribute in (("numerator", "returns"), ("index", "visits")):
        for stratum in of.strata:
            reference_sum = (at, of.period_on, stratum.codes, count_name)
            total = getattr(stratum, attribute)
            reader.attacker.know(reference_sum, total, total)
            parts = [(at, h, of.period_on, stratum.codes, count_name) for h in members]
            reader.attacker.add_up(reference_sum, parts)
        for hospital in members:
            whole = (at, "half", hospital, of.period_on, HEADLINE, count_name)
            parts = [(at, hospital, of.period_on, s.codes, count_name) for s in of.strata]
            reader.attacker.add_up(whole, parts)
