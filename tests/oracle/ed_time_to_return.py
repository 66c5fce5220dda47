"""Days until the return, counted visit by visit and day by day from the oracle's pairs."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle.ed_returns import Answer

LAST_DAY = 30
DAY = timedelta(hours=24)
OUTCOMES = ("admitted", "unknown")

# Hospital, first day of the half-year, day after departure, and what is counted.
Key = tuple[str, date, int, str]


def days_to_return(result: Answer, zones: dict[str, str], data_through: datetime) -> Counter[Key]:
    """Follow each index visit from day to day until it ends, is lost, or thirty days are over."""
    counts: Counter[Key] = Counter()
    for pair in result.pairs.iter_rows(named=True):
        place = (pair["hospital_key"], _half_year(pair["month_on"]))
        zone = ZoneInfo(zones[pair["hospital_key"]])
        for day in range(1, LAST_DAY + 1):
            if pair["departed_at"] + day * DAY > data_through:
                counts[(*place, day, "lost")] += 1
                break
            counts[(*place, day, "at_risk")] += 1
            end = _end_of(pair, day, zone)
            if end is not None:
                counts[(*place, day, end)] += 1
                break
    return counts


def _end_of(pair: dict[str, Any], day: int, zone: ZoneInfo) -> str | None:
    departed, arrived, dead = pair["departed_at"], pair["return_arrived_at"], pair["deceased_on"]
    home = departed.astimezone(zone).date()
    back = None if arrived is None else arrived.astimezone(zone).date()
    if dead is not None and dead >= home and (back is None or dead < back):
        return "died" if dead == home + timedelta(days=day - 1) else None
    if arrived is not None and departed + (day - 1) * DAY < arrived <= departed + day * DAY:
        return pair["return_outcome_code"] if pair["return_outcome_code"] in OUTCOMES else "other"
    return None


def _half_year(month: date) -> date:
    return date(month.year, 1 if month.month <= 6 else 7, 1)
