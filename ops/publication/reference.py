"""The network's reference for indirect standardisation, made so that it may be published.

The declared model is a list of strata in an order in which neighbours are alike
(``ed_standard_strata``). The reference is the sum over the hospitals whose half-year the network's
file shows, so that its totals are public already; strata are joined with the next until each is
large enough, also for a hospital that takes its own visits off. It is made once, with the first
publication of a half-year, and never again. Why nothing can be worked out of it: docs/adr/0038.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from governance.errors import PublicationError
from ops.publication.frozen_cells import Figures

SMALLEST_REST = 11
FEWEST_HOSPITALS = 3
FEWEST_STRATA = 2


@dataclass(frozen=True)
class Counts:
    """Index visits, and how many of them had a return that counts."""

    returns: int
    visits: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.returns + other.returns, self.visits + other.visits)

    @property
    def others(self) -> int:
        """Index visits without such a return."""
        return self.visits - self.returns


NOBODY = Counts(0, 0)
# Per stratum of the declared model.
Mix = Mapping[str, Counts]
# A half-year and a measure.
Period = tuple[dt.date, str]


@dataclass(frozen=True)
class ReferenceStratum:
    """One stratum of the reference: one of the declared model, or several joined."""

    codes: tuple[str, ...]
    returns: int
    visits: int


@dataclass(frozen=True)
class Reference:
    """What a half-year's hospitals are held to.

    Attributes:
        definition: digest of what the measure counts.
        data_through_at: of the figures.
        hospitals_count: how many hospitals' visits it is made of.
    """

    period_on: dt.date
    measure_code: str
    definition: str
    data_through_at: dt.datetime
    hospitals_count: int
    strata: tuple[ReferenceStratum, ...]


def joined_strata(order: Sequence[str], mixes: Sequence[Mix]) -> tuple[ReferenceStratum, ...]:
    """Return the strata of a reference, joined until each is safe; none where two are not.

    Each takes up the next of the declared order until it is safe; what is left at the end goes to
    the last. Nothing but the declared order and the counts decides.

    Args:
        order: all strata of the declared model, in its order.
        mixes: one per hospital.
    """
    if len(mixes) < FEWEST_HOSPITALS:
        return ()
    wholes = [_sum(mix, order) for mix in mixes]
    groups: list[list[str]] = []
    group: list[str] = []
    for code in order:
        group.append(code)
        if is_safe([_sum(mix, group) for mix in mixes], wholes):
            groups.append(group)
            group = []
    if len(groups) < FEWEST_STRATA:
        return ()
    groups[-1] += group
    found = [(codes, sum((_sum(mix, codes) for mix in mixes), NOBODY)) for codes in groups]
    return tuple(ReferenceStratum(tuple(codes), of.returns, of.visits) for codes, of in found)


def is_safe(sums: Sequence[Counts], wholes: Sequence[Counts]) -> bool:
    """Tell whether a stratum is large enough, whichever hospital takes its own visits off.

    A hospital's visits in the stratum are not asked for: that a stratum is shown would tell that
    no hospital has more than so many there. What it has in all is public, and is not less.

    Args:
        sums: of each hospital in the stratum.
        wholes: of each hospital in all strata.
    """
    shown = sum(sums, NOBODY)
    returns = shown.returns - max(of.returns for of in wholes)
    others = shown.others - max(of.others for of in wholes)
    return min(returns, others) >= SMALLEST_REST


def _sum(mix: Mix, codes: Iterable[str]) -> Counts:
    return sum((mix.get(code, NOBODY) for code in codes), NOBODY)


def new_references(
    builds: Sequence[Figures],
    shown: Sequence[Figures],
    past: Sequence[Figures],
    order: Sequence[str],
    mixes: Mapping[tuple[Period, str], Mix],
) -> Iterator[Reference]:
    """Make the references of the half-years that this publication is the first to show.

    A half-year that is the sum of frozen months stays out: its strata are those of today, and what
    they hold more would be what came late. Its time of data tells readers so already.

    Args:
        builds: the half-years of the new build.
        shown: those that this publication is the first to show.
        past: every half-year of every publication before.
        order: the strata of the declared model.
        mixes: of every period, measure and hospital of the new build that has one.

    Raises:
        PublicationError: strata do not add up to what is shown.
    """
    known = {(row.period_on, row.measure_code) for row in past}
    fresh = set(builds)
    members: dict[Period, list[Figures]] = defaultdict(list)
    for row in shown:
        period = row.period_on, row.measure_code
        if period not in known and row in fresh and None not in row.counts[:2]:
            members[period].append(row)
    for period, rows in sorted(members.items()):
        if not any((period, row.hospital_key) in mixes for row in rows):
            continue  # A measure without a model.
        of_rows = [_checked(row, mixes.get((period, row.hospital_key), {})) for row in rows]
        strata = joined_strata(order, of_rows)
        if strata:
            through = min(row.data_through_at for row in rows)
            yield Reference(*period, rows[0].definition, through, len(rows), strata)


def _checked(row: Figures, mix: Mix) -> Mix:
    whole = sum(mix.values(), NOBODY)
    if (whole.returns, whole.visits) != row.counts[:2]:
        raise PublicationError(
            f"Nothing was published: the strata of {row.measure_code} at {row.hospital_key} in the "
            f"half-year from {row.period_on} do not add up to its months (see "
            "assert_strata_add_up_to_the_headline); correct ed_standard_strata and build again."
        )
    return mix
