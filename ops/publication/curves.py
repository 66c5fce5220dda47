"""Time-to-return curves of a hospital's own file, from its own whole counts by day.

They are in no other file: counts by day are small at every hospital, and sums over hospitals, less
the hospitals that are shown, would give the hidden ones (docs/adr/0033).
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ops.statistics.intervals import Z_95
from ops.statistics.time_to_return import cumulative_incidence

CURVES_SCHEMA = pa.schema(
    [
        ("period_on", pa.date32()),
        ("day_number", pa.int32()),
        ("admitted_share", pa.float64()),
        ("admitted_lower", pa.float64()),
        ("admitted_upper", pa.float64()),
        ("any_share", pa.float64()),
        ("any_lower", pa.float64()),
        ("any_upper", pa.float64()),
        ("died_share", pa.float64()),
        ("waiting_share", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Day:
    """Counts of one half-year and day after departure, of one hospital."""

    period_on: dt.date
    day_number: int
    at_risk: int
    admitted: int
    other: int
    unknown: int
    died: int


def days_query(schema: str) -> str:
    """Return the query that reads the days of the file being written."""
    return (
        "select period_on, day_number, at_risk_count, admitted_returns_count, "
        "other_returns_count, unknown_returns_count, deaths_count "
        f"from {schema}.rpt_ed_time_to_return"
    )


def curves_table(days: Sequence[Day]) -> pa.Table:
    """Draw up the curve of each half-year, up to the last day that anybody is followed to.

    Args:
        days: of one hospital, every day of each half-year once.
    """
    ordered = sorted(days, key=lambda day: (day.period_on, day.day_number))
    rows: list[dict[str, Any]] = []
    for period, group in itertools.groupby(ordered, key=lambda day: day.period_on):
        rows += [{"period_on": period} | row for row in _curve(list(group))]
    return pa.Table.from_pylist(rows, schema=CURVES_SCHEMA)


def _curve(days: list[Day]) -> list[dict[str, Any]]:
    at_risk = [day.at_risk for day in days]
    admitted = [day.admitted for day in days]
    otherwise = [day.other + day.unknown for day in days]
    died = [day.died for day in days]
    parts = cumulative_incidence(at_risk, [admitted, otherwise, died])
    whole = cumulative_incidence(
        at_risk, [[a + b for a, b in zip(admitted, otherwise, strict=True)], died]
    )
    columns = {
        "admitted_share": parts.incidence[0],
        "any_share": whole.incidence[0],
        "died_share": whole.incidence[1],
        "waiting_share": whole.waiting,
    }
    columns["admitted_lower"], columns["admitted_upper"] = parts.limits(0, Z_95)
    columns["any_lower"], columns["any_upper"] = whole.limits(0, Z_95)
    return [
        {"day_number": day.day_number}
        | {name: _known(values[number]) for name, values in columns.items()}
        for number, day in enumerate(days[: whole.periods_count])
    ]


def _known(value: np.float64) -> float | None:
    return None if math.isnan(value) else float(value)
