"""Which figures of ED returns are published for a closed period: the first ones, or revised ones.

Two publications side by side must not tell more than each of them alone. What was published of a
closed period therefore stays, whatever late corrections do to the counts behind it. Once each
half-year, when one has been closed, the figures of a hospital's half-year are revised together, and
only where nobody learns a small count from old and new figures.

Every decision is taken from figures that are public, or would be: a reader can redo it, and learns
nothing from its outcome that the figures do not say. Which figures those are, and why nothing can
be subtracted from them: docs/adr/0029.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

SMALLEST_CHANGE = 11
JULY = 7
OPEN = "open_period"
FROZEN = "frozen_period"

Count = int | None
Block = dict[str, "Figures"]
Versions = Sequence[Block]
Place = tuple[str, dt.date]


@dataclass(frozen=True)
class Figures:
    """One published row: a hospital, a month or half-year, and a measure; None where hidden.

    Attributes:
        definition: digest of what the measure counts.
        published_at: the publication that showed these figures first; None for a new build.
    """

    hospital_key: str
    period_on: dt.date
    measure_code: str
    numerator: Count
    index_visits: Count
    all_visits: Count
    suppression_code: str | None
    data_through_at: dt.datetime
    definition: str
    published_at: dt.datetime | None = None

    @property
    def counts(self) -> tuple[Count, Count, Count]:
        """Numerator, index visits, all visits."""
        return self.numerator, self.index_visits, self.all_visits

    def hidden(self, code: str = FROZEN) -> Figures:
        """Return the row without its counts."""
        return replace(
            self, numerator=None, index_visits=None, all_visits=None, suppression_code=code
        )


@dataclass(frozen=True)
class Shown:
    """What a publication shows.

    Attributes:
        months: one row per hospital, month and measure.
        half_years: one row per hospital, half-year and measure.
        new_months: those of closed months that no publication has shown before.
        new_half_years: those of closed half-years that no publication has shown before.
    """

    months: list[Figures]
    half_years: list[Figures]
    new_months: list[Figures]
    new_half_years: list[Figures]


def half_year_of(month: dt.date) -> dt.date:
    """Return the first day of the half-year of a month."""
    return month.replace(month=1 if month.month < JULY else JULY, day=1)


def latest_closed(rows: Iterable[Figures]) -> dt.date | None:
    """Return the last period of which anything is closed."""
    return max((row.period_on for row in rows if row.suppression_code != OPEN), default=None)


def freeze(
    months: Sequence[Figures],
    half_years: Sequence[Figures],
    past_months: Sequence[Figures],
    past_half_years: Sequence[Figures],
    *,
    may_revise: bool,
) -> Shown:
    """Put the figures of a new build beside all that was published before.

    Args:
        months: the protected months of the new build.
        half_years: its protected half-years.
        past_months: every version of every month that any publication has shown.
        past_half_years: the same of half-years.
        may_revise: this is the first publication since another half-year was closed.
    """
    month_blocks, half_blocks = _blocks(months), _blocks(half_years)
    past_by_month, past_by_half = _versions(past_months), _versions(past_half_years)
    shown_months: dict[Place, Block] = {}
    shown_halves: dict[Place, Block] = {}
    for half, places in _by_half_year(month_blocks).items():
        group = _Group(
            {place: month_blocks[place] for place in places},
            {place: past_by_month.get(place, []) for place in places},
            half_blocks.get(half, {}),
            past_by_half.get(half, []),
        )
        of_months, of_half = group.shown(may_revise=may_revise)
        shown_months |= of_months
        shown_halves[half] = of_half
    return Shown(
        [row for block in shown_months.values() for row in block.values()],
        [row for block in shown_halves.values() for row in block.values()],
        _unseen(shown_months, past_by_month),
        _unseen(shown_halves, past_by_half),
    )


@dataclass(frozen=True)
class _Group:
    """A hospital's half-year: the new build's blocks, and every version shown of each."""

    months: Mapping[Place, Block]
    past_months: Mapping[Place, Versions]
    half: Block
    past_half: Versions

    def shown(self, *, may_revise: bool) -> tuple[dict[Place, Block], Block]:
        is_revised = may_revise and self._may_be_revised()
        months = {
            place: _chosen(block, self.past_months[place], is_revised=is_revised)
            for place, block in self.months.items()
        }
        if self.past_half or is_revised or _is_open(self.half):
            return months, _chosen(self.half, self.past_half, is_revised=is_revised)
        if all(_is_same(self.months[place], months[place]) for place in months):
            return months, self.half
        return months, _summed(self.half, list(months.values()))

    def _may_be_revised(self) -> bool:
        pairs = [(self.months[place], past) for place, past in self.past_months.items() if past]
        if self.past_half:
            pairs.append((self.half, self.past_half))
        if any(_is_open(block) for block, _ in pairs):
            return False
        if not all(_may_follow(block, old) for block, past in pairs for old in past):
            return False
        return not self.past_half or self._keeps_what_is_hidden()

    def _keeps_what_is_hidden(self) -> bool:
        """Half-years less shown months are the hidden months: their sum must not change."""
        old_months = [past[-1] for past in self.past_months.values() if past]
        old = _rests(self.past_half[-1], old_months)
        new = _rests(self.half, list(self.months.values()))
        return all(new.get(name) == rest for name, rest in old.items())


def _may_follow(new: Block, old: Block) -> bool:
    """Tell whether old and new figures of one hospital and period give no small difference.

    The changes of a cell's counts, and no change, lie at least eleven apart or on each other: so
    does every change of a difference of two counts, be it of one measure or of two.
    """
    changes = {0}
    for measure, before in old.items():
        after = new.get(measure)
        if after is None or after.definition != before.definition:
            return False
        for one, other in zip(before.counts, after.counts, strict=True):
            if (one is None) != (other is None):
                return False
            if one is not None and other is not None:
                changes.add(other - one)
    return all(b - a >= SMALLEST_CHANGE for a, b in itertools.pairwise(sorted(changes)))


def _is_same(new: Block, old: Block) -> bool:
    return new.keys() == old.keys() and all(
        (new[code].counts, new[code].definition) == (old[code].counts, old[code].definition)
        for code in new
    )


def _chosen(new: Block, past: Versions, *, is_revised: bool) -> Block:
    if _is_open(new) or not past:
        return new
    # The same figures keep their time: a newer one would tell that nothing has changed since.
    if is_revised and not _is_same(new, past[-1]):
        return new
    return _frozen(new, past[-1])


def _frozen(new: Block, old: Block) -> Block:
    """Return the measures of a new build with the figures that were published of them."""
    return {
        code: old[code] if code in old and old[code].definition == row.definition else row.hidden()
        for code, row in new.items()
    }


def _rests(half: Block, months: Sequence[Block]) -> dict[tuple[str, int], int]:
    rests = {}
    for code, row in half.items():
        for at, total in enumerate(row.counts):
            if total is not None:
                shown = [month[code].counts[at] for month in months if code in month]
                rests[code, at] = total - sum(count or 0 for count in shown)
    return rests


def _summed(half: Block, months: Sequence[Block]) -> Block:
    """Add up what the months show; a sum of which one is hidden is hidden."""
    summed = {}
    for code, row in half.items():
        rows = [month[code] for month in months if code in month]
        counts = [_sum(row.counts[at] for row in rows) for at in range(3)]
        if not rows or any(count is None for count in counts):
            summed[code] = row.hidden()
        else:
            numerator, index_visits, all_visits = counts
            summed[code] = replace(
                row,
                numerator=numerator,
                index_visits=index_visits,
                all_visits=all_visits,
                suppression_code=None,
                data_through_at=min(row.data_through_at for row in rows),
            )
    return summed


def _sum(counts: Iterable[Count]) -> Count:
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def _is_open(block: Block) -> bool:
    return any(row.suppression_code == OPEN for row in block.values())


def _waits(block: Block) -> bool:
    return all(row.suppression_code == FROZEN for row in block.values())


def _blocks(rows: Iterable[Figures]) -> dict[Place, Block]:
    blocks: dict[Place, Block] = defaultdict(dict)
    for row in rows:
        blocks[row.hospital_key, row.period_on][row.measure_code] = row
    return dict(blocks)


def _versions(rows: Iterable[Figures]) -> dict[Place, list[Block]]:
    """Return the versions of each block in the order of their publication."""
    found: dict[Place, list[Block]] = defaultdict(list)
    ordered = sorted(rows, key=lambda row: row.published_at or dt.datetime.max)
    for _, group in itertools.groupby(ordered, key=lambda row: row.published_at):
        for place, block in _blocks(group).items():
            found[place].append(block)
    return dict(found)


def _by_half_year(places: Iterable[Place]) -> dict[Place, list[Place]]:
    grouped: dict[Place, list[Place]] = defaultdict(list)
    for hospital, month in sorted(places):
        grouped[hospital, half_year_of(month)].append((hospital, month))
    return dict(grouped)


def _unseen(shown: Mapping[Place, Block], past: Mapping[Place, Versions]) -> list[Figures]:
    return list(_new_rows(shown, past))


def _new_rows(shown: Mapping[Place, Block], past: Mapping[Place, Versions]) -> Iterator[Figures]:
    # A block is kept whole, so that its last version is all that is shown of it. What is frozen
    # has its first publication's time already.
    for place, block in shown.items():
        fresh = [row for row in block.values() if row.published_at is None]
        # Nor is a block kept that only waits: when each measure counts what it did again, the
        # figures come back.
        is_new = not past.get(place) or (len(fresh) == len(block) and not _waits(block))
        if block and is_new and not _is_open(block):
            yield from fresh
