"""Attackers on the network's chart reviews: an outsider, and a hospital that takes its own off.

Both know the rule of hiding and which hospitals there are. Every half-year that could be is written
down, with a threshold of 3 in the place of 11; those that look the same to the attacker make what
a hidden count can still be. No count of 1 or 2, of the network, of the other hospitals or of one of
them, may be left with fewer than three values or than these two.
"""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from ops.publication.audit_history import TABLE, merge_audits
from tests.helpers.dbt import run_dbt
from tests.helpers.small_snapshot import write_empty_snapshot
from tests.privacy.audit_findings import Flags, Hidden, Ints, Worlds, draw_worlds, protect

pytestmark = pytest.mark.integration

LARGEST = 2
POSSIBLE = 3
THEMES = ("elder_care", "handover", "crowding")
ISSUE = "quality_issue"


# The rule as it is published is the rule that is attacked.


@dataclass(frozen=True)
class Shown:
    """What dbt published of worlds that were drawn."""

    worlds: Worlds
    rows: dict[tuple[dt.date, str], tuple[int | None, int | None, bool]]


def period(world: int) -> dt.date:
    return dt.date(1900 + world // 2, 1 + 6 * (world % 2), 1)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """Each half-year is a world of its own: one build for all of them."""
    home = tmp_path_factory.mktemp("audits")
    (home / "restricted" / "spill").mkdir(parents=True)
    write_empty_snapshot(home, "s1")
    worlds = draw_worlds(600, seed=4)
    _write_mart(home / "warehouse.duckdb", worlds)
    models = ["int_ed_audit_findings__network", "published__rpt_ed_audits_network"]
    done = run_dbt(home, home / "target", "run", "--select", *models)
    assert done.exit_code == 0, done.output[-3000:]
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        rows = con.execute(
            "select period_on, finding_code, of_count, found_count, is_suppressed "
            f"from published.{TABLE}"
        ).fetchall()
    return Shown(worlds, {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows})


def _write_mart(file: Path, worlds: Worlds) -> None:
    rows = []
    for world, hospital in itertools.product(*map(range, worlds.reviewed.shape)):
        reviewed, issues = worlds.reviewed[world, hospital], worlds.issues[world, hospital]
        if reviewed:
            head = (f"H{hospital}", period(world))
            rows.append((*head, ISSUE, 0, int(reviewed), int(issues)))
            rows += [
                (*head, code, 1 + at, int(issues), int(worlds.themes[world, hospital, at]))
                for at, code in enumerate(THEMES)
            ]
    names = ("hospital_key", "period_on", "finding_code", "sort_number", "of_count", "found_count")
    columns = [pa.array(column) for column in zip(*rows, strict=True)]
    columns[3] = columns[3].cast(pa.int32())
    counted = pa.table(columns, names=list(names))
    with duckdb.connect(str(file)) as con:
        con.execute("create schema marts")
        con.register("counted", counted)
        con.execute(
            "create table marts.rpt_ed_audits_half_yearly as "
            "select *, 'x' as finding_name, 'team' as theme_group_code, true as is_closed "
            "from counted union all "
            "select * replace (date '2999-01-01' as period_on), 'x', 'team', false from counted "
            "where period_on = date '1900-07-01'"
        )


def test_what_is_published_is_what_a_second_implementation_shows(shown: Shown) -> None:
    worlds, hidden = shown.worlds, protect(shown.worlds)
    expected: dict[tuple[dt.date, str], tuple[int | None, int | None, bool]] = {}
    for world in np.flatnonzero(worlds.reviewed.sum(axis=1)):
        on = period(int(world))
        n, i = int(worlds.reviewed[world].sum()), int(worlds.issues[world].sum())
        is_hidden = bool(hidden.issues[world])
        expected[on, ISSUE] = (
            None if hidden.reviewed[world] else n,
            None if is_hidden else i,
            is_hidden,
        )
        for at, code in enumerate(THEMES):
            found = int(worlds.themes[world, :, at].sum())
            no_theme = bool(hidden.themes[world, at])
            expected[on, code] = (
                None if is_hidden else i,
                None if no_theme else found,
                no_theme,
            )
    assert shown.rows == expected
    # Each kind of half-year was drawn: all shown, some themes, none of them, nothing at all.
    themes = hidden.themes.sum(axis=1)
    for kind in (themes == 0, (themes > 0) & (themes < 3), (themes == 3) & ~hidden.issues):
        assert (kind & ~hidden.reviewed).sum() > 5
    assert (hidden.issues & ~hidden.reviewed).sum() > 5


def test_shown_themes_tell_nothing_of_hidden_ones(shown: Shown) -> None:
    """A case with an issue has a theme: what the shown ones do not account for the others have."""
    worlds, hidden = shown.worlds, protect(shown.worlds)
    assert told(worlds, hidden) == 0
    without = Hidden(hidden.reviewed, hidden.issues, by_themselves(worlds) | hidden.issues[:, None])
    assert told(worlds, without) > 5


def told(worlds: Worlds, hidden: Hidden) -> int:
    """Of how many worlds somebody learns that a hidden theme has some cases at least."""
    seen = np.where(hidden.themes[:, None, :], 0, worlds.themes)
    left = worlds.issues.sum(axis=1) - seen.sum(axis=(1, 2))
    of_others = left[:, None] - (worlds.issues - seen.sum(axis=2))
    some = hidden.themes.any(axis=1) & ~hidden.themes.all(axis=1)
    return int((some & ((left > 0) | (of_others > 0).any(axis=1))).sum())


def by_themselves(worlds: Worlds) -> Flags:
    """The themes that their own counts hide: those of worlds with that theme alone."""
    found = []
    for at in range(worlds.themes.shape[2]):
        theme = worlds.themes[:, :, at : at + 1]
        # With a second theme that every case has, nothing is left for the first to tell.
        pair = np.concatenate([theme, worlds.issues[:, :, None]], axis=2)
        found.append(protect(Worlds(worlds.reviewed, worlds.issues, pair)).themes[:, 0])
    return np.stack(found, axis=1)


# Everything that could be, with small thresholds.


@dataclass(frozen=True)
class Attack:
    """All half-years of some hospitals with up to so many cases each, and what is seen of them."""

    worlds: Worlds
    counts: Ints  # by world, hospital, and reviewed, issues, two themes
    seen: Ints

    def pinned(self) -> int:
        """How many small counts are left with fewer than three values, to anybody."""
        totals, first = self.counts.sum(axis=1), self.counts[:, 0]
        own = np.column_stack([self.seen, first])
        views = [
            (self.seen, totals),
            (self.seen, self.counts[:, 1]),
            (own, totals - first),
            (own, self.counts[:, 1]),
        ]
        return sum(self._narrow(view, secret) for view, secret in views)

    def _narrow(self, view: Ints, secret: Ints) -> int:
        codes = np.zeros(len(view), dtype=np.int64)
        for column in view.T:
            codes = codes * (int(view.max()) + 2) + column + 1
        _, group = np.unique(codes, return_inverse=True)
        n, i, a, b = secret.T
        # Near the largest world that was written down values are missing that there could be.
        is_inside = self.counts[:, :, 0].sum(axis=1) <= 10
        found = 0
        for value in (n, i, n - i, a, i - a, b, i - b):
            possible = np.zeros((group.max() + 1, int(value.max()) + 1), dtype=bool)
            possible[group, value] = True
            small = is_inside & (value >= 1) & (value <= LARGEST)
            # That it is small is known of what is hidden: each of 1 and 2 is as much as that.
            is_wide = (possible.sum(axis=1) >= POSSIBLE) | possible[:, 1 : 1 + LARGEST].all(axis=1)
            found += int((small & ~is_wide[group]).sum())
        return found


def every_world(
    most: tuple[int, ...], *, is_second_theme_free: bool = False, **rule: bool
) -> Attack:
    """Write down every half-year; the second theme is free, or every case with an issue has it."""
    one = [
        np.array(
            [
                (n, i, a, b)
                for n in range(cases + 1)
                for i in range(n + 1)
                for a in range(i + 1)
                for b in range(i - a if is_second_theme_free else i, i + 1)
            ],
            dtype=np.int64,
        )
        for cases in most
    ]
    places = np.indices([len(own) for own in one], dtype=np.int16).reshape(len(one), -1)
    counts: Ints = np.stack([own[at] for own, at in zip(one, places, strict=True)], axis=1)
    worlds = Worlds(counts[:, :, 0], counts[:, :, 1], counts[:, :, 2:])
    hidden = protect(worlds, largest=LARGEST, **rule)
    flags = np.column_stack([hidden.reviewed, hidden.issues, hidden.themes])
    seen = np.where(flags, -1, counts.sum(axis=1))
    return Attack(worlds, counts, seen)


@pytest.mark.parametrize(
    ("most", "is_second_theme_free"),
    [((5, 5, 5), True), ((9, 5, 5), False), ((4, 4, 4, 4), False)],
)
def test_no_small_count_comes_out(most: tuple[int, ...], is_second_theme_free: bool) -> None:
    attack = every_world(most, is_second_theme_free=is_second_theme_free)
    assert attack.pinned() == 0
    # To show nothing would pass too.
    assert ((attack.seen >= 0).mean(axis=0) > (0.3, 0.02, 0.0005, 0.0005)).all()


@pytest.mark.parametrize("rule", ["is_own_known", "is_whole_great"])
def test_without_a_part_of_the_rule_small_counts_come_out(rule: str) -> None:
    assert every_world((9, 5, 5), **{rule: False}).pinned() > 100


# One publication and the next.


def builds() -> list[Worlds]:
    """Three builds of the same half-years: reviews are reconciled late, and persons are erased."""
    rng = np.random.default_rng(9)
    found = [draw_worlds(200, seed=5)]
    for _ in range(2):
        last = found[-1]
        lost = rng.binomial(1, 0.1, last.reviewed.shape) * (last.reviewed > 0)
        cleared = rng.binomial(1, 0.2, last.reviewed.shape) * (last.issues > 0)
        reviewed = last.reviewed - lost
        issues = np.minimum(last.issues - cleared, reviewed)
        themes = np.minimum(last.themes - cleared[:, :, None], issues[:, :, None])
        found.append(Worlds(reviewed, issues, np.maximum(0, themes)))
    return found


def published(con: duckdb.DuckDBPyConnection, worlds: Worlds, closed: int) -> None:
    """Put a build's figures of the first half-years in the place of the new tables."""
    hidden = protect(worlds)
    rows = []
    for world in range(closed):
        n, i = int(worlds.reviewed[world].sum()), int(worlds.issues[world].sum())
        rows.append((period(world), ISSUE, n, i, hidden.reviewed[world], hidden.issues[world]))
        rows += [
            (
                period(world),
                code,
                i,
                int(worlds.themes[world, :, at].sum()),
                hidden.issues[world],
                hidden.themes[world, at],
            )
            for at, code in enumerate(THEMES)
        ]
    con.execute(
        f"create or replace table fresh.{TABLE} (period_on date, finding_code varchar, "
        "of_count bigint, found_count bigint, is_suppressed boolean, suppression_code varchar)"
    )
    con.executemany(
        f"insert into fresh.{TABLE} values (?, ?, ?, ?, ?, ?)",
        [
            (on, code, None if no_of else of, None if no else count, bool(no), "x" if no else None)
            for on, code, of, count, no_of, no in rows
        ],
    )


def read(con: duckdb.DuckDBPyConnection) -> dict[tuple[dt.date, str], tuple[int | None, ...]]:
    rows = con.execute(f"select period_on, finding_code, of_count, found_count from fresh.{TABLE}")
    return {(row[0], row[1]): row[2:] for row in rows.fetchall()}


def small_changes(seen: list[dict[tuple[dt.date, str], tuple[int | None, ...]]]) -> int:
    """How many counts of 1 to 10 come out of what changed between two publications."""
    found = 0
    for earlier, later in itertools.combinations(seen, 2):
        for place, counts in earlier.items():
            for one, other in zip(counts, later.get(place, (None, None)), strict=True):
                found += one is not None and other is not None and 1 <= abs(one - other) <= 10
    return found


def test_late_reviews_and_erased_persons_change_nothing_that_was_shown() -> None:
    unfrozen, frozen = [], []
    with duckdb.connect(":memory:") as con:
        con.execute("create schema fresh")
        before = None
        for at, worlds in enumerate(builds()):
            con.execute(f"create schema kept{at}")
            published(con, worlds, closed=(100, 150, 120)[at])
            unfrozen.append(read(con))
            merge_audits(con, "fresh", f"kept{at}", before, is_lost=False)
            before = f"kept{at}.{TABLE}"
            frozen.append(read(con))
        first, second, third = frozen
        assert small_changes(unfrozen) > 50
        assert small_changes(frozen) == 0
        # What was shown once stays, hidden or not; a build that reaches less far shows less.
        assert {place: second[place] for place in first} == first
        assert third == {place: second[place] for place in third}
        assert {place for place, _ in third} == {period(world) for world in range(120)}
        kept = con.execute(f"select count(distinct period_on) from {before}").fetchall()
        assert kept == [(150,)]
        # And after the history was lost nothing of what is closed is shown, then or later.
        con.execute("create schema lost")
        published(con, builds()[2], closed=150)
        merge_audits(con, "fresh", "lost", None, is_lost=True)
        assert {counts for counts in read(con).values()} == {(None, None)}
        con.execute("create schema later")
        published(con, builds()[2], closed=160)
        merge_audits(con, "fresh", "later", f"lost.{TABLE}", is_lost=False)
        shown = {on for (on, _), counts in read(con).items() if counts != (None, None)}
        assert shown
        assert min(shown) >= period(150)
