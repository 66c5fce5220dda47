"""Hospital clocks: instants in UTC seconds to local wall time and back, for whole arrays."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from demo.draw import Ints

DAY = 86_400
EPOCH = date(1970, 1, 1)
_FIRST_YEAR, _LAST_YEAR = 1990, 2040


def day_number(day: date) -> int:
    """Return the days since 1970-01-01."""
    return (day - EPOCH).days


def utc_seconds(text: str) -> int:
    """Return the seconds since the epoch of an ISO instant in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@lru_cache(maxsize=16)
def _transitions(zone: str) -> tuple[Ints, Ints]:
    """Return the instants at which the offset changes, and the offset from each on."""
    clock = ZoneInfo(zone)

    def offset_at(instant: datetime) -> int:
        found = instant.astimezone(clock).utcoffset()
        return 0 if found is None else int(found.total_seconds())

    day = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC)
    starts, offsets = [int(day.timestamp())], [offset_at(day)]
    while day.year < _LAST_YEAR:
        following = day + timedelta(days=1)
        if offset_at(following) != offsets[-1]:
            hour = day
            while offset_at(hour) == offsets[-1]:
                hour += timedelta(minutes=15)
            starts.append(int(hour.timestamp()))
            offsets.append(offset_at(hour))
        day = following
    return np.array(starts, dtype=np.int64), np.array(offsets, dtype=np.int64)


def offsets_of(zone: str, instants: Ints) -> Ints:
    """Return the offset from UTC, in seconds, of each instant in one zone."""
    starts, offsets = _transitions(zone)
    return offsets[np.searchsorted(starts, instants, side="right") - 1]


def offsets_in(zones: tuple[str, ...], zone_of_row: Ints, instants: Ints) -> Ints:
    """Return the offset from UTC of each instant in its row's zone.

    Args:
        zones: names of the zones.
        zone_of_row: position in ``zones``, one per row.
        instants: seconds since the epoch, one per row.
    """
    if len(zones) == 1:
        return offsets_of(zones[0], instants)
    result = np.zeros(len(instants), dtype=np.int64)
    for position, zone in enumerate(zones):
        rows = zone_of_row == position
        result[rows] = offsets_of(zone, instants[rows])
    return result


def from_wall(zones: tuple[str, ...], zone_of_row: Ints, wall: Ints) -> Ints:
    """Return the instants at which the clocks show ``wall``.

    A wall time that the spring change leaves out becomes the instant an hour later on the clock; of
    the two instants of an autumn hour, one is taken.
    """
    guess = wall - offsets_in(zones, zone_of_row, wall)
    return wall - offsets_in(zones, zone_of_row, guess)


def local_days(zones: tuple[str, ...], zone_of_row: Ints, instants: Ints) -> Ints:
    """Return the local calendar day (days since 1970-01-01) of each instant."""
    return (instants + offsets_in(zones, zone_of_row, instants)) // DAY


def month_starts(days: Ints) -> Ints:
    """Return the first day of the month of each day, both as days since 1970-01-01."""
    months = days.astype("datetime64[D]").astype("datetime64[M]")
    return months.astype("datetime64[D]").astype(np.int64)
