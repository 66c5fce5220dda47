"""Weak releases, planted: the attacks on a release's files must find their persons.

And strong ones, in which they must not. What the attacks count is counted again in plain Python,
person against person.
"""

from __future__ import annotations

import datetime as dt
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ops.release.linkage import Linkage, attacker, join_releases, measure_linkage
from ops.release.noisy_match import ECCENTRICITY, Match, Noise, Truth, measure_match
from tests.helpers.release_files import Patient, Visit, write_files

NEW_YEAR = dt.date(2024, 1, 1)
Stay = tuple[dt.date, str, str]  # Day, acuity, CCSR category.


@dataclass(frozen=True)
class Woman:
    """What is true of somebody."""

    birth_on: dt.date
    stays: tuple[Stay, ...]


def population(seed: int, size: int, codes: int = 40) -> dict[str, Woman]:
    draw = random.Random(seed)
    found = {}
    for number in range(size):
        days = sorted(draw.sample(range(360), draw.choice((1, 2, 2, 3))))
        stays = tuple(
            (
                NEW_YEAR + dt.timedelta(day),
                draw.choice("2345"),
                f"C{int(draw.random() ** 2 * codes):02d}",
            )
            for day in days
        )
        found[f"w{number}"] = Woman(dt.date(draw.randint(1950, 1999), 7, 1), stays)
    return found


def _age_band(woman: Woman) -> str:
    day = woman.stays[0][0]
    age = day.year - woman.birth_on.year - ((day.month, day.day) < (7, 1))
    return "18-29" if age < 30 else "30-44" if age < 45 else "45-59" if age < 60 else "60-74"


def _band(days: int) -> str:
    limits = ((3, "1-3"), (30, "4-30"), (180, "31-180"))
    return next((band for limit, band in limits if days <= limit), ">180")


def without_bands(woman: Woman) -> Patient:
    """Exact days between visits, every code and acuity: what no release should show."""
    visits = tuple(
        Visit(str((day - woman.stays[at - 1][0]).days) if at else None, (code,), acuity=acuity)
        for at, (day, acuity, code) in enumerate(woman.stays)
    )
    return Patient(age=_age_band(woman), visits=visits)


def in_bands(woman: Woman) -> Patient:
    """Bands, every code and acuity: the history is whole, and nobody looked who shares it."""
    visits = tuple(
        Visit(_band((day - woman.stays[at - 1][0]).days) if at else None, (code,), acuity=acuity)
        for at, (day, acuity, code) in enumerate(woman.stays)
    )
    return Patient(age=_age_band(woman), visits=visits)


def first_stay_only(woman: Woman) -> Patient:
    """What many share."""
    return Patient(age=_age_band(woman), visits=(Visit(),))


def with_days(woman: Woman, shift: int) -> Patient:
    days = [day + dt.timedelta(shift) for day, _, _ in woman.stays]
    visits = tuple(
        Visit(_band((day - days[at - 1]).days) if at else None, day=day)
        for at, day in enumerate(days)
    )
    return Patient(age=_age_band(woman), year=None, visits=visits)


def ids(names: list[str], start: int) -> dict[str, int]:
    return {name: start + at for at, name in enumerate(names)}


def linked(
    tmp_path: Path, women: dict[str, Woman], released: Callable[[Woman], Patient]
) -> tuple[dict[str, Linkage], set[tuple[int, int]], set[tuple[int, int]]]:
    """Two releases of four fifths each: what is measured, the links of `everything`, the truth."""
    names = list(women)
    cut = len(names) // 5
    first, second = ids(names[cut:], 1000), ids(names[:-cut], 50_000)
    new = write_files(tmp_path / "new", {key: released(women[n]) for n, key in first.items()})
    old = write_files(tmp_path / "old", {key: released(women[n]) for n, key in second.items()})
    common = pa.array([first[name] for name in first.keys() & second.keys()], pa.int64())
    with attacker(tmp_path) as connection:
        join_releases(connection, new, old)
        links = set(
            connection.execute(
                "select person, partner from partners_everything "
                "where new_count = 1 and earlier_count = 1"
            ).fetchall()
        )
    truth = {(first[name], second[name]) for name in first.keys() & second.keys()}
    found = measure_linkage(new, old, common, tmp_path)
    return {one.way: one for one in found}, links, truth


def test_two_releases_without_bands_are_linked(tmp_path: Path) -> None:
    found, links, truth = linked(tmp_path, population(1, 500), without_bands)
    # Of three quarters in both, most; and the links are right.
    assert found["everything"].possible_share > 0.6
    assert len(links & truth) / len(links) > 0.9
    assert found["everything"].guessed_share > 0.8


def test_bands_alone_do_not_help_a_whole_history(tmp_path: Path) -> None:
    found, links, truth = linked(tmp_path, population(2, 500), in_bands)
    assert found["everything"].possible_share > 0.3
    assert len(links & truth) / len(links) > 0.7


def test_what_many_share_links_nobody(tmp_path: Path) -> None:
    found, links, _ = linked(tmp_path, population(3, 500), first_stay_only)
    assert not links
    assert all(one.possible_count == 0 for one in found.values())
    assert found["everything"].guessed_share < 0.05


@pytest.mark.parametrize("seed", range(4))
def test_links_are_those_of_a_count_person_by_person(tmp_path: Path, seed: int) -> None:
    women = population(seed, 60, codes=4)
    found, links, truth = linked(tmp_path, women, in_bands)
    names = list(women)
    new, old = (
        {key: (women[name], key) for name, key in side.items()}
        for side in (ids(names[12:], 1000), ids(names[:-12], 50_000))
    )

    def shown(woman: Woman) -> Patient:
        return in_bands(woman)

    expected, guessed = set(), 0.0
    in_both = {first for first, _ in truth}
    for key, (woman, _) in new.items():
        partners = [other for other, (theirs, _) in old.items() if shown(theirs) == shown(woman)]
        alike = [other for other, (ours, _) in new.items() if shown(ours) == shown(woman)]
        if len(partners) == len(alike) == 1:
            expected.add((key, partners[0]))
        if key in in_both and partners:
            guessed += 1 / len(partners)
    measured = found["everything"]
    assert links == expected
    assert (measured.persons_count, measured.common_count) == (48, 36)
    assert measured.linked_count == len(expected)
    assert measured.guessed_count == pytest.approx(guessed)
    # What may be right is never less than what is.
    assert len(links & truth) <= measured.possible_count <= measured.linked_count


def truth_of(women: dict[str, Woman]) -> Truth:
    stays = [
        (name, at, *stay) for name, woman in women.items() for at, stay in enumerate(woman.stays)
    ]
    nothing = pa.array([None] * len(stays), pa.string())
    keys = [f"{stay[0]}-{stay[1]}" for stay in stays]
    return Truth(
        pa.table(
            {
                "person": list(women),
                "sex_code": ["F"] * len(women),
                "birth_on": pa.array([woman.birth_on for woman in women.values()]),
                "postal_code": ["10001"] * len(women),
            }
        ),
        pa.table(
            {
                "person": [stay[0] for stay in stays],
                "stay": keys,
                "day": pa.array([stay[2] for stay in stays], pa.date32()),
                "peer_group_code": nothing,
                "acuity_code": [stay[3] for stay in stays],
                "arrival_mode_code": nothing,
                "disposition_code": nothing,
                "minutes": pa.array([None] * len(stays), pa.int64()),
            }
        ),
        pa.table(
            {
                "stay": keys,
                "ccsr_code": [stay[4] for stay in stays],
                "chapter_code": [stay[4][0] for stay in stays],
            }
        ),
    )


def matched(
    tmp_path: Path,
    women: dict[str, Woman],
    released: Callable[[Woman], Patient],
    noise: Noise | None = None,
) -> Match:
    """Two thirds are in the release; everybody is looked for."""
    names = list(women)
    inside = ids(names[: len(names) * 2 // 3], 1000)
    directory = write_files(tmp_path / "held", {k: released(women[n]) for n, k in inside.items()})
    known = pa.table({"person": list(inside), "released": pa.array(inside.values(), pa.int64())})
    return measure_match(directory, truth_of(women), known, seed=7, spill=tmp_path, noise=noise)


def test_days_as_they_are_find_most_in_spite_of_noise(tmp_path: Path) -> None:
    found = matched(tmp_path, population(4, 450), lambda woman: with_days(woman, 0))
    assert (found.targets_count, found.released_count) == (450, 300)
    assert found.recall > 0.5
    assert found.precision is not None and found.precision > 0.5


def test_a_whole_history_is_found_in_spite_of_noise(tmp_path: Path) -> None:
    found = matched(tmp_path, population(5, 450), in_bands)
    assert found.recall > 0.15
    assert found.guessed_share > 0.4


def test_noise_makes_it_harder(tmp_path: Path) -> None:
    women = population(5, 450)
    sure = matched(tmp_path / "a", women, in_bands, Noise(1.0, 0, 0.0))
    usual = matched(tmp_path / "b", women, in_bands)
    poor = matched(tmp_path / "c", women, in_bands, Noise(0.5, 20, 0.5))
    assert sure.right_count > usual.right_count > poor.right_count


def test_what_many_share_finds_nobody(tmp_path: Path) -> None:
    found = matched(tmp_path, population(6, 450), first_stay_only)
    assert (found.named_count, found.right_count) == (0, 0)
    assert found.guessed_share < 0.05


def test_the_same_persons_are_found_again(tmp_path: Path) -> None:
    women = population(8, 150)
    first, second = (matched(tmp_path / name, women, in_bands) for name in ("a", "b"))
    # The same chances, added up in whatever order two threads came to them.
    assert first.guessed_count == pytest.approx(second.guessed_count)
    assert replace(first, guessed_count=0.0) == replace(second, guessed_count=0.0)


Fact = tuple[int, str, str]  # Visit (0: the person), kind, value.


def _facts(patient: Patient) -> list[Fact]:
    facts = [(0, "visits", str(len(patient.visits))), (0, "visit_year", str(patient.year))]
    for number, visit in enumerate(patient.visits, start=1):
        facts += [(number, "acuity", visit.acuity), (number, "outcome", visit.outcome)]
        facts += [(number, "length", visit.length)]
        facts += [(number, "ccsr", code) for code in visit.ccsr]
        facts += [(number, "interval", visit.interval)] if visit.interval else []
    return facts


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_a_count_person_by_person(tmp_path: Path, seed: int) -> None:
    """Without noise; the released are scored one by one, in plain Python."""
    women = population(seed, 60, codes=6)
    inside = list(women)[:40]
    released = {name: in_bands(women[name]) for name in inside}
    holders: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name, patient in released.items():
        for _, kind, value in _facts(patient):
            holders[kind, value].add(name)

    def bits(kind: str, value: str) -> float:
        return -math.log2(len(holders[kind, value]) / len(inside)) if holders[kind, value] else 0.0

    def score(woman: Woman, patient: Patient) -> float:
        known: dict[int, list[tuple[str, str]]] = defaultdict(list)
        longest = max(len(other.visits) for other in released.values())
        known[0] = [("visits", str(min(len(woman.stays), longest))), ("visit_year", "2024")]
        for at, (day, acuity, code) in enumerate(woman.stays, start=1):
            known[at] = [("acuity", acuity), ("ccsr", code), ("outcome", "other")]
            if at > 1:
                known[at].append(("interval", _band((day - woman.stays[at - 2][0]).days)))
        shown: dict[int, set[tuple[str, str]]] = defaultdict(set)
        for number, kind, value in _facts(patient):
            shown[number].add((kind, value))
        return sum(
            max(
                sum(bits(*fact) for fact in facts if fact in shown[number])
                for number in shown
                if (number == 0) == (at == 0)
            )
            for at, facts in known.items()
        )

    found: Counter[str] = Counter()
    guessed = 0.0
    for name, woman in women.items():
        block = [other for other in inside if released[other].age == _age_band(woman)]
        scores = {other: score(woman, released[other]) for other in block}
        best = max(scores.values(), default=0.0)
        top = [other for other in block if best > 0 and scores[other] >= best - 1e-9]
        if name in top:
            guessed += 1 / len(top)
        if len(top) != 1:
            continue
        mean = sum(scores.values()) / len(block)
        deviation = math.sqrt(sum((one - mean) ** 2 for one in scores.values()) / len(block))
        second = sorted(scores.values())[-2] if len(block) > 1 else 0.0
        if best - second >= ECCENTRICITY * deviation:
            found["named"] += 1
            found["right"] += top == [name]
    match = matched(tmp_path, women, in_bands, Noise(1.0, 0, 0.0))
    assert (match.named_count, match.right_count) == (found["named"], found["right"])
    assert match.guessed_count == pytest.approx(guessed)
    assert found["named"] > 3


def test_nobody_can_read_a_target_from_what_is_returned() -> None:
    fields: dict[str, Any] = {**Match.__annotations__, **Linkage.__annotations__}
    assert set(fields.values()) == {"int", "float", "str"}
