"""Quarters of the year, and how a report writes them and their half-years."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from governance.errors import ReportError

_WRITTEN = re.compile(r"([1-9][0-9]{3})-Q([1-4])")
_MONTHS = 3


@dataclass(frozen=True, order=True)
class Quarter:
    """Three months, by their year and number from 1 to 4."""

    year: int
    number: int

    @property
    def months(self) -> tuple[dt.date, ...]:
        """The first day of each of its months."""
        first = _MONTHS * self.number - 2
        return tuple(dt.date(self.year, first + step, 1) for step in range(_MONTHS))

    @property
    def begins_on(self) -> dt.date:
        """Its first day."""
        return self.months[0]

    @property
    def ends_before(self) -> dt.date:
        """The first day after it."""
        year, month = (self.year + 1, 1) if self.number == 4 else (self.year, self.number * 3 + 1)  # noqa: PLR2004
        return dt.date(year, month, 1)

    @property
    def before(self) -> Quarter:
        """The quarter before it."""
        return (
            Quarter(self.year - 1, 4) if self.number == 1 else Quarter(self.year, self.number - 1)
        )

    @property
    def year_before(self) -> Quarter:
        """The same quarter of the year before."""
        return Quarter(self.year - 1, self.number)

    @property
    def words(self) -> str:
        """Its months in words: January to March 2026."""
        return f"{self.months[0]:%B} to {self.months[-1]:%B} {self.year}"

    def __str__(self) -> str:
        return f"{self.year}-Q{self.number}"


def read_quarter(text: str) -> Quarter:
    """Return a quarter written as ``2026-Q1``.

    Raises:
        ReportError: it is not written so.
    """
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise ReportError(f"{text!r} is no quarter: write it as 2026-Q1.")
    return Quarter(int(match[1]), int(match[2]))


def quarter_of(day: dt.date) -> Quarter:
    """Return the quarter that a day lies in."""
    return Quarter(day.year, (day.month - 1) // _MONTHS + 1)
