"""ED return visits the slow way: every pair of visits looked at, one person at a time.

Nothing is sorted and looked ahead in; sets are closed and minima searched. It is the yardstick of
the oracle's property tests, small enough to be read in one sitting beside the definition.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Registration:
    """One row of an ED's registration system."""

    key: str
    person: str | None
    hospital: str
    zone: str
    arrived: datetime
    departed: datetime | None
    decided: datetime | None
    disposition: str | None
    planned: bool

    @property
    def known(self) -> datetime | None:
        return self.departed or self.decided

    @property
    def leaves(self) -> datetime:
        return max(self.known or self.arrived, self.arrived)


@dataclass(frozen=True)
class Leg:
    """Registrations of one person at one hospital that touch or overlap."""

    members: frozenset[Registration]

    @property
    def first(self) -> Registration:
        return min(self.members, key=lambda row: (row.arrived, row.key))

    @property
    def last_word(self) -> Registration:
        return max(
            self.members,
            key=lambda row: (
                row.known is None and row.disposition is None,
                row.leaves,
                row.arrived,
                row.key,
            ),
        )

    @property
    def leaves(self) -> datetime:
        return max(row.leaves for row in self.members)

    @property
    def month(self) -> date:
        return self.first.arrived.astimezone(ZoneInfo(self.first.zone)).date().replace(day=1)


@dataclass(frozen=True)
class Pair:
    """An index visit and the stay that was its return."""

    leg: Leg
    returned: tuple[Leg, ...] | None


def legs_of(rows: list[Registration]) -> list[Leg]:
    """Grow groups until no two of them touch."""
    groups = [{row} for row in rows]
    while True:
        touching = next(
            (
                (one, other)
                for one in groups
                for other in groups
                if one is not other and any(_touch(a, b) for a in one for b in other)
            ),
            None,
        )
        if touching is None:
            return [Leg(frozenset(group)) for group in groups]
        touching[0].update(touching[1])
        groups = [group for group in groups if group is not touching[1]]


def _touch(one: Registration, other: Registration) -> bool:
    same = one.person is not None and one.person == other.person
    return (
        same
        and one.hospital == other.hospital
        and one.arrived <= other.leaves
        and other.arrived <= one.leaves
    )


def stays_of(legs: list[Leg]) -> list[tuple[Leg, ...]]:
    """Chain each leg to the next one of its person where a transfer led there."""
    stays: list[tuple[Leg, ...]] = []
    for subject in {leg.first.person or leg.first.key for leg in legs}:
        own = [leg for leg in legs if (leg.first.person or leg.first.key) == subject]
        current: list[Leg] = []
        while own:
            leg = min(own, key=lambda item: (item.first.arrived, item.first.key))
            own.remove(leg)
            if current and not _continues(current[-1], leg):
                stays.append(tuple(current))
                current = []
            current.append(leg)
        stays.append(tuple(current))
    return stays


def _continues(before: Leg, leg: Leg) -> bool:
    return (
        before.last_word.disposition == "transferred"
        and before.first.hospital != leg.first.hospital
        and leg.first.arrived <= before.leaves + timedelta(hours=24)
    )


def pairs_of(stays: list[tuple[Leg, ...]]) -> list[Pair]:
    """Every index visit with the stay it keeps as its return."""
    wanted = {
        stay[-1]: min(
            (other for other in stays if _may_return(stay, other)),
            key=lambda other: (other[0].first.arrived, other[0].first.key),
            default=None,
        )
        for stay in stays
        if _is_index(stay)
    }
    return [
        Pair(leg, found if found and leg == _keeper(found, wanted) else None)
        for leg, found in wanted.items()
    ]


def _is_index(stay: tuple[Leg, ...]) -> bool:
    word = stay[-1].last_word
    return (
        word.disposition == "home"
        and word.known is not None
        and word.person is not None
        and not stay[0].first.planned
    )


def _may_return(index: tuple[Leg, ...], other: tuple[Leg, ...]) -> bool:
    return (
        other[0].first.person == index[0].first.person
        and other[0].first.arrived > index[-1].leaves
        and not other[0].first.planned
        and other[-1].last_word.disposition != "lwbs"
    )


def _keeper(found: tuple[Leg, ...], wanted: dict[Leg, tuple[Leg, ...] | None]) -> Leg:
    claimants = [leg for leg, stay in wanted.items() if stay == found]
    return max(claimants, key=lambda leg: (leg.leaves, leg.first.arrived, leg.last_word.key))


def cells(
    rows: list[Registration],
    deaths: dict[str, date],
    data_through: datetime,
    *,
    window: timedelta,
    needs_admission: bool,
) -> dict[tuple[str, date], tuple[int, int, int]]:
    """Numerator, index visits and all visits of each hospital and month."""
    legs = legs_of(rows)
    counts = {(leg.first.hospital, leg.month): [0, 0, 0] for leg in legs}
    for leg in legs:
        if _followed_up(leg, deaths, data_through, window):
            counts[leg.first.hospital, leg.month][2] += 1
    for pair in pairs_of(stays_of(legs)):
        if not _followed_up(pair.leg, deaths, data_through, window):
            continue
        back = pair.returned
        if back is not None and back[0].first.arrived - pair.leg.leaves > window:
            back = None
        if back is not None and back[-1].last_word.disposition is None:
            continue
        cell = counts[pair.leg.first.hospital, pair.leg.month]
        cell[1] += 1
        admitted = back is not None and any(leg.last_word.disposition == "admitted" for leg in back)
        cell[0] += admitted if needs_admission else back is not None
    return {key: (value[0], value[1], value[2]) for key, value in counts.items()}


def _followed_up(
    leg: Leg, deaths: dict[str, date], data_through: datetime, window: timedelta
) -> bool:
    died = deaths.get(leg.first.person or "")
    dead = died is not None and (
        datetime.combine(died, datetime.min.time(), data_through.tzinfo) + timedelta(days=1)
        <= data_through
    )
    return leg.leaves + window <= data_through or dead or leg.last_word.disposition == "died"
