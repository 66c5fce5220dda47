"""Statistical tables drawn up at publication from cells their readers may see.

Input rows come from tables that are already in the file being written: what was hidden there is
null here and contributes to nothing.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ops.statistics.control_charts import p_chart, xmr_chart
from ops.statistics.funnel import FunnelFit, fit_funnel, funnel_position
from ops.statistics.intervals import Z_95, Z_998, wilson_interval
from ops.statistics.shrinkage import ShrinkageFit, fit_shrinkage

DENOMINATORS = ("all_visits", "index_visits")
CURVE_POINTS = 60

XMR_SCHEMA = pa.schema(
    [
        ("series_code", pa.string()),
        ("hospital_key", pa.string()),
        ("measure_code", pa.string()),
        ("denominator_code", pa.string()),
        ("month_on", pa.date32()),
        ("numerator_count", pa.int64()),
        ("denominator_count", pa.int64()),
        ("hospitals_count", pa.int64()),
        ("rate", pa.float64()),
        ("mean_rate", pa.float64()),
        ("lower_limit", pa.float64()),
        ("upper_limit", pa.float64()),
        ("is_trial", pa.bool_()),
        ("special_cause_codes", pa.string()),
        ("special_cause_direction", pa.string()),
        ("p_lower_limit", pa.float64()),
        ("p_upper_limit", pa.float64()),
        ("p_special_cause_codes", pa.string()),
    ]
)
FUNNEL_SCHEMA = pa.schema(
    [
        ("period_on", pa.date32()),
        ("measure_code", pa.string()),
        ("denominator_code", pa.string()),
        ("hospital_key", pa.string()),
        ("numerator_count", pa.int64()),
        ("denominator_count", pa.int64()),
        ("rate", pa.float64()),
        ("wilson_lower", pa.float64()),
        ("wilson_upper", pa.float64()),
        ("shrunk_rate", pa.float64()),
        ("own_weight", pa.float64()),
        ("centre_rate", pa.float64()),
        ("lower_95", pa.float64()),
        ("upper_95", pa.float64()),
        ("lower_998", pa.float64()),
        ("upper_998", pa.float64()),
        ("phi", pa.float64()),
        ("tau2", pa.float64()),
        ("hospitals_count", pa.int64()),
        ("position_code", pa.string()),
    ]
)
LIMITS_SCHEMA = pa.schema(
    [
        ("period_on", pa.date32()),
        ("measure_code", pa.string()),
        ("denominator_code", pa.string()),
        ("denominator_count", pa.int64()),
        ("centre_rate", pa.float64()),
        ("lower_95", pa.float64()),
        ("upper_95", pa.float64()),
        ("lower_998", pa.float64()),
        ("upper_998", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Cell:
    """Counts of one hospital, period and measure; None where hidden."""

    hospital_key: str
    period_on: dt.date
    measure_code: str
    numerator: int | None
    index_visits: int | None
    all_visits: int | None

    def denominator(self, code: str) -> int | None:
        """Return one of the two denominators."""
        return self.all_visits if code == "all_visits" else self.index_visits

    def rate(self, code: str) -> float | None:
        """Return the rate, or None where a part of it is hidden or there was no visit."""
        denominator = self.denominator(code)
        if self.numerator is None or not denominator:
            return None
        return self.numerator / denominator


@dataclass(frozen=True)
class _Point:
    period_on: dt.date
    numerator: int | None
    denominator: int | None


@dataclass(frozen=True)
class _Fit:
    """What the shown hospitals of one period and measure have in common."""

    funnel: FunnelFit
    shrinkage: ShrinkageFit | None


def xmr_table(cells: Sequence[Cell], *, with_network: bool) -> pa.Table:
    """Draw up the XmR chart of every hospital and measure, and of the network.

    The network's series adds up the hospitals whose every month is shown: a sum over whichever
    cells happen to be visible would jump when a small hospital appears or disappears. A series with
    hidden months has no mean and no limits: its small months are the ones that are missing.

    Args:
        cells: one per hospital, month and measure.
        with_network: add the network's series.
    """
    rows: list[dict[str, Any]] = []
    for measure, of_measure in _grouped(cells, "measure_code"):
        by_hospital = {key: group for key, group in _grouped(of_measure, "hospital_key")}
        for code in DENOMINATORS:
            closed = {cell.period_on for cell in of_measure if cell.denominator(code) is not None}
            for hospital, group in by_hospital.items():
                points = [_Point(c.period_on, c.numerator, c.denominator(code)) for c in group]
                head = {"series_code": "hospital", "hospital_key": hospital}
                is_whole = not any(p.numerator is None and p.period_on in closed for p in points)
                rows += _xmr_rows(head, measure, code, points, hospitals=1, is_whole=is_whole)
            if with_network:
                points, hospitals = _panel(by_hospital, closed, code)
                head = {"series_code": "network", "hospital_key": None}
                rows += _xmr_rows(head, measure, code, points, hospitals=hospitals, is_whole=True)
    return pa.Table.from_pylist(rows, schema=XMR_SCHEMA)


def _panel(
    by_hospital: dict[str, list[Cell]], closed: set[dt.date], code: str
) -> tuple[list[_Point], int]:
    months = sorted({cell.period_on for group in by_hospital.values() for cell in group})
    shown = [
        {cell.period_on: cell for cell in group if cell.rate(code) is not None}
        for group in by_hospital.values()
    ]
    panel = [cells for cells in shown if closed and closed <= set(cells)]
    # Of a rare measure only the hospitals without a return are shown: they are not the network.
    if len(panel) < len(shown) and not any(c.numerator for cells in panel for c in cells.values()):
        panel = []
    points = []
    for month in months:
        present = [cells[month] for cells in panel if month in cells]
        if not present:
            points.append(_Point(month, None, None))
            continue
        points.append(
            _Point(
                month,
                sum(cell.numerator or 0 for cell in present),
                sum(cell.denominator(code) or 0 for cell in present),
            )
        )
    return points, len(panel)


def _xmr_rows(
    head: dict[str, Any],
    measure: str,
    code: str,
    points: Sequence[_Point],
    *,
    hospitals: int,
    is_whole: bool,
) -> list[dict[str, Any]]:
    ordered = sorted(points, key=lambda point: point.period_on)
    rates = [
        point.numerator / point.denominator
        if point.numerator is not None and point.denominator
        else None
        for point in ordered
    ]
    chart = xmr_chart(rates)
    binomial = p_chart([p.numerator for p in ordered], [p.denominator for p in ordered])
    p_points = zip(binomial.lower, binomial.upper, binomial.points, strict=True)
    mean, lower, upper = (chart.mean, chart.lower, chart.upper) if is_whole else (None, None, None)
    return [
        head
        | {
            "measure_code": measure,
            "denominator_code": code,
            "month_on": point.period_on,
            "numerator_count": point.numerator,
            "denominator_count": point.denominator,
            "hospitals_count": hospitals,
            "rate": drawn.value,
            "mean_rate": mean,
            # A rate cannot fall below zero; no rule of the chart reads the clipped value.
            "lower_limit": None if lower is None else max(0.0, lower),
            "upper_limit": None if upper is None else min(1.0, upper),
            "is_trial": chart.is_trial,
            "special_cause_codes": (",".join(drawn.causes) or None) if is_whole else None,
            "special_cause_direction": drawn.direction if is_whole else None,
            "p_lower_limit": p_lower if is_whole else None,
            "p_upper_limit": p_upper if is_whole else None,
            "p_special_cause_codes": (",".join(p_drawn.causes) or None) if is_whole else None,
        }
        for point, drawn, (p_lower, p_upper, p_drawn) in zip(
            ordered, chart.points, p_points, strict=True
        )
    ]


def funnel_tables(cells: Sequence[Cell]) -> tuple[pa.Table, pa.Table]:
    """Draw up the funnel of every period, measure and denominator.

    Args:
        cells: one per hospital, period and measure; hidden ones take no part.

    Returns:
        One row per hospital, and the curve of the limits over the range of denominators.
    """
    rows: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for head, shown in _funnels(cells):
        code = head["denominator_code"]
        fit = _fit(shown, code)
        if fit is None:
            continue
        rows += [_funnel_row(head, cell, fit) for cell in shown]
        curves += _curve(head, fit.funnel, [cell.denominator(code) or 0 for cell in shown])
    return (
        pa.Table.from_pylist(rows, schema=FUNNEL_SCHEMA),
        pa.Table.from_pylist(curves, schema=LIMITS_SCHEMA),
    )


def own_funnel_table(own: Sequence[Cell], network: Sequence[Cell]) -> pa.Table:
    """Place one hospital's own whole figures in the funnels of the network's visible cells."""
    fits = {
        tuple(head.values()): _fit(shown, head["denominator_code"])
        for head, shown in _funnels(network)
    }
    rows = []
    for head, shown in _funnels(own):
        fit = fits.get(tuple(head.values()))
        rows += [_funnel_row(head, cell, fit) for cell in shown]
    return pa.Table.from_pylist(rows, schema=FUNNEL_SCHEMA)


def _funnels(cells: Sequence[Cell]) -> Iterable[tuple[dict[str, Any], list[Cell]]]:
    for period, of_period in _grouped(cells, "period_on"):
        for measure, of_measure in _grouped(of_period, "measure_code"):
            for code in DENOMINATORS:
                head = {"period_on": period, "measure_code": measure, "denominator_code": code}
                yield head, [cell for cell in of_measure if cell.rate(code) is not None]


def _fit(shown: Sequence[Cell], code: str) -> _Fit | None:
    numerators = [cell.numerator or 0 for cell in shown]
    denominators = [cell.denominator(code) or 0 for cell in shown]
    funnel = fit_funnel(numerators, denominators)
    return _Fit(funnel, fit_shrinkage(numerators, denominators)) if funnel else None


def _funnel_row(head: dict[str, Any], cell: Cell, fit: _Fit | None) -> dict[str, Any]:
    numerator = cell.numerator or 0
    denominator = cell.denominator(head["denominator_code"]) or 0
    lower, upper = wilson_interval(numerator, denominator)
    row = head | {
        "hospital_key": cell.hospital_key,
        "numerator_count": numerator,
        "denominator_count": denominator,
        "rate": numerator / denominator,
        "wilson_lower": lower,
        "wilson_upper": upper,
    }
    if fit is None:
        return row
    funnel, shrinkage = fit.funnel, fit.shrinkage
    if shrinkage is not None:
        row["shrunk_rate"] = shrinkage.shrunk_rate(numerator, denominator)
        row["own_weight"] = shrinkage.weight(denominator)
    return (
        row
        | _limits(funnel, denominator)
        | {
            "phi": funnel.phi,
            "tau2": funnel.tau2,
            "hospitals_count": funnel.points_count,
            "position_code": funnel_position(funnel, numerator, denominator),
        }
    )


def _limits(fit: FunnelFit, denominator: float) -> dict[str, float]:
    low_95, high_95 = fit.limits(denominator, Z_95)
    low_998, high_998 = fit.limits(denominator, Z_998)
    return {
        "centre_rate": fit.centre,
        "lower_95": low_95,
        "upper_95": high_95,
        "lower_998": low_998,
        "upper_998": high_998,
    }


def _curve(
    head: dict[str, Any], fit: FunnelFit, denominators: Sequence[int]
) -> list[dict[str, Any]]:
    # From below the smallest to above the largest hospital, denser where the funnel bends.
    low, high = max(1.0, min(denominators) * 0.7), max(denominators) * 1.1
    grid = sorted({round(float(n)) for n in np.geomspace(low, high, CURVE_POINTS)})
    return [head | {"denominator_count": n} | _limits(fit, n) for n in grid]


def _grouped(cells: Sequence[Cell], name: str) -> list[tuple[Any, list[Cell]]]:
    ordered = sorted(cells, key=lambda cell: str(getattr(cell, name)))
    groups = itertools.groupby(ordered, key=lambda cell: getattr(cell, name))
    return [(key, list(group)) for key, group in groups]
