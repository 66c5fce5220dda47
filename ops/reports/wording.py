"""How a report writes numbers, dates and names: each in one way."""

from __future__ import annotations

import csv
import datetime as dt
from dataclasses import dataclass
from functools import cache

from governance.settings import PROJECT_ROOT
from ops.statistics.intervals import wilson_interval

NONE = "\N{EN DASH}"
# No line ends between a number and its sign.
_PER_CENT = "\N{NO-BREAK SPACE}%"
DENOMINATORS = {"all_visits": "ED visits", "index_visits": "index visits"}
_PEER_GROUPS = PROJECT_ROOT / "seeds" / "code_systems" / "peer_group.csv"


@dataclass(frozen=True)
class Table:
    """A table as it is printed: the first column heads the rows, all others are figures."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def count(number: int) -> str:
    """Write a count."""
    return f"{number:,}"


def percent(share: float) -> str:
    """Write a share per 100."""
    return f"{100 * share:.2f}{_PER_CENT}"


def rate(numerator: int, denominator: int) -> str:
    """Write a rate; a dash where there is nothing to divide by."""
    return percent(numerator / denominator) if denominator else NONE


def interval(numerator: int, denominator: int) -> str:
    """Write the Wilson interval of a rate."""
    if not denominator:
        return NONE
    low, high = wilson_interval(numerator, denominator)
    return f"{100 * low:.2f} to {percent(high)}"


def day(value: dt.date) -> str:
    """Write a date: 5 February 2025."""
    return f"{value.day} {value:%B %Y}"


def month(value: dt.date) -> str:
    """Write a month: Mar 2025."""
    return f"{value:%b %Y}"


def half_year(value: dt.date) -> str:
    """Write the half-year that begins on a day: July to December 2025."""
    return f"{'January to June' if value.month == 1 else 'July to December'} {value.year}"


def many(number: int, name: str) -> str:
    """Write a number of things."""
    return f"{count(number)} {name}" if number == 1 else f"{count(number)} {name}s"


@cache
def peer_groups() -> dict[str, str]:
    """Return the names of the peer groups by code."""
    with _PEER_GROUPS.open(encoding="utf-8", newline="") as file:
        return {row["code"]: row["name"] for row in csv.DictReader(file)}


def peer_group(code: str) -> str:
    """Return a peer group's name, or its code where the list has none."""
    return peer_groups().get(code, code)


def listed(names: list[str]) -> str:
    """Write a list: a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
