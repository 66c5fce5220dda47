"""Statistics of the dashboards: funnel limits, XmR charts and single-rate intervals.

Everything here is computed from the figures a reader may see, never from figures behind them: a
limit or a centre line that contained a hidden cell could be solved for it.

Sources:
    Funnel plot with over-dispersion: Spiegelhalter D (2005), Funnel plots for comparing
    institutional performance, doi 10.1002/sim.1970.
    XmR chart and its special causes: NHS England, Making Data Count.
    Interval of one rate: Wilson EB (1927), doi 10.1080/01621459.1927.10502953.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Z_95 = 1.959964
Z_998 = 3.090232

XMR_LIMIT = 2.66
XMR_WARNING = 1.773
XMR_SCREEN = 3.267
XMR_RUN = 7
XMR_NEAR_WINDOW = 3
XMR_NEAR_COUNT = 2
XMR_FULL_POINTS = 12

OUTSIDE_LIMITS = "outside_limits"
RUN_ON_ONE_SIDE = "run_on_one_side"
TREND = "trend"
TWO_OF_THREE = "two_of_three"

Direction = Literal["high", "low"]


@dataclass(frozen=True)
class FunnelFit:
    """Centre and dispersion of a funnel, on the scale of asin(sqrt(rate))."""

    theta: float
    phi: float
    tau2: float
    points_count: int

    @property
    def centre(self) -> float:
        """The pooled rate."""
        return math.sin(self.theta) ** 2

    def limits(self, denominator: float, z: float) -> tuple[float, float]:
        """Return the lower and upper control limit of a rate with this denominator.

        Args:
            denominator: the number of visits behind the rate; more than zero.
            z: ``Z_95`` or ``Z_998``.
        """
        spread = z * math.sqrt(1 / (4 * denominator) + self.tau2)
        # A negative angle squares to a positive rate: without the clamp the lower limit of a
        # small hospital folds upward, away from zero.
        low = max(self.theta - spread, 0.0)
        high = min(self.theta + spread, math.pi / 2)
        return math.sin(low) ** 2, math.sin(high) ** 2


def fit_funnel(numerators: Sequence[int], denominators: Sequence[int]) -> FunnelFit | None:
    """Fit centre and over-dispersion to one rate per hospital.

    Args:
        numerators: events, one per hospital.
        denominators: visits, one per hospital, each above zero.

    Returns:
        The fit, or None where there is no hospital.

    Raises:
        ValueError: lengths differ, or a numerator lies outside 0 to its denominator.
    """
    r = np.asarray(numerators, dtype=np.float64)
    n = np.asarray(denominators, dtype=np.float64)
    if r.shape != n.shape:
        raise ValueError("A funnel needs one denominator for each numerator.")
    if np.any(n <= 0) or np.any(r < 0) or np.any(r > n):
        raise ValueError("A funnel needs denominators above zero and numerators within them.")
    k = len(r)
    if k == 0:
        return None
    theta = math.asin(math.sqrt(r.sum() / n.sum()))
    weights = 4 * n
    z = (np.arcsin(np.sqrt(r / n)) - theta) * np.sqrt(weights)
    low, high = np.quantile(z, [0.1, 0.9], method="linear")
    phi = float(np.mean(np.clip(z, low, high) ** 2))
    spread = float(weights.sum() - (weights**2).sum() / weights.sum())
    excess = k * phi - (k - 1)
    tau2 = max(0.0, excess / spread) if spread > 0 else 0.0
    return FunnelFit(theta=theta, phi=phi, tau2=tau2, points_count=k)


def funnel_position(fit: FunnelFit, numerator: int, denominator: int) -> str:
    """Say where a hospital lies: within, above_95, above_998, below_95 or below_998.

    A rate exactly on a limit lies within it.
    """
    rate = numerator / denominator
    for name, z in (("998", Z_998), ("95", Z_95)):
        low, high = fit.limits(denominator, z)
        if rate > high:
            return f"above_{name}"
        if rate < low:
            return f"below_{name}"
    return "within"


@dataclass(frozen=True)
class XmrPoint:
    """One point of an XmR chart and the special causes it belongs to."""

    value: float | None
    causes: tuple[str, ...]
    direction: Direction | None


@dataclass(frozen=True)
class XmrChart:
    """Centre, limits and points of an XmR chart; limits are None below two adjacent points."""

    mean: float | None
    mean_moving_range: float | None
    lower: float | None
    upper: float | None
    is_trial: bool
    points: tuple[XmrPoint, ...]


def xmr_chart(values: Sequence[float | None], *, screen: bool = False) -> XmrChart:
    """Draw up an XmR chart.

    A missing value (a hidden or empty month) is a gap: it has no moving range to either side and
    breaks every run. Limits from fewer than 12 points are trial limits.

    Args:
        values: one value per period, in order; None where there is none.
        screen: leave moving ranges of at least 3.267 times their mean out of the limits.
    """
    known = [value for value in values if value is not None]
    ranges = _moving_ranges(values, screen=screen)
    if not known or not ranges:
        mean = sum(known) / len(known) if known else None
        points = tuple(XmrPoint(value, (), None) for value in values)
        return XmrChart(mean, None, None, None, is_trial=True, points=points)
    mean = math.fsum(known) / len(known)
    mean_range = math.fsum(ranges) / len(ranges)
    # Rates that are equal on paper differ in the last bit: without a tolerance a flat series lies
    # "outside" its own limits and a point on the mean does not break a run.
    tolerance = 1e-12 * max(abs(value) for value in known)
    causes = _special_causes(values, mean, mean_range, tolerance)
    return XmrChart(
        mean=mean,
        mean_moving_range=mean_range,
        lower=mean - XMR_LIMIT * mean_range,
        upper=mean + XMR_LIMIT * mean_range,
        is_trial=len(known) < XMR_FULL_POINTS,
        points=tuple(
            _xmr_point(value, found, mean) for value, found in zip(values, causes, strict=True)
        ),
    )


def _xmr_point(value: float | None, found: dict[str, Direction], mean: float) -> XmrPoint:
    direction: Direction | None = None
    if found and value is not None:
        # A point of a trend is called by where the trend leads, any other by its side of the mean.
        others = [way for cause, way in found.items() if cause != TREND]
        direction = others[0] if others else found[TREND]
    return XmrPoint(value, tuple(sorted(found)), direction)


def _moving_ranges(values: Sequence[float | None], *, screen: bool) -> list[float]:
    ranges = [
        abs(after - before)
        for before, after in itertools.pairwise(values)
        if before is not None and after is not None
    ]
    if not screen or not ranges:
        return ranges
    limit = XMR_SCREEN * math.fsum(ranges) / len(ranges)
    return [size for size in ranges if size < limit] or ranges


def _special_causes(
    values: Sequence[float | None], mean: float, mean_range: float, tolerance: float
) -> list[dict[str, Direction]]:
    found: list[dict[str, Direction]] = [{} for _ in values]
    sides = [_sign(value, mean, tolerance) for value in values]
    beyond = [_beyond(value, mean, XMR_LIMIT * mean_range, tolerance) for value in values]
    warned = [_beyond(value, mean, XMR_WARNING * mean_range, tolerance) for value in values]
    steps = [0] + [
        0 if before is None else _sign(after, before, tolerance)
        for before, after in itertools.pairwise(values)
    ]
    for index, side in enumerate(beyond):
        if side:
            found[index][OUTSIDE_LIMITS] = _direction(side)
    for end in range(len(values)):
        _mark_window(found, sides, end, XMR_RUN, RUN_ON_ONE_SIDE)
        # Seven points rise in six steps; the first point's own step leads into the trend.
        if _same_sign(steps, end, XMR_RUN - 1) and end >= XMR_RUN - 1:
            for index in range(end - XMR_RUN + 1, end + 1):
                found[index][TREND] = _direction(steps[end])
        if _same_sign(sides, end, XMR_NEAR_WINDOW):
            window = range(end - XMR_NEAR_WINDOW + 1, end + 1)
            marked = [index for index in window if warned[index] == sides[end]]
            if len(marked) >= XMR_NEAR_COUNT:
                for index in marked:
                    found[index][TWO_OF_THREE] = _direction(sides[end])
    return found


def _mark_window(
    found: list[dict[str, Direction]], signs: Sequence[int], end: int, length: int, cause: str
) -> None:
    if _same_sign(signs, end, length):
        for index in range(end - length + 1, end + 1):
            found[index][cause] = _direction(signs[end])


def _same_sign(signs: Sequence[int], end: int, length: int) -> bool:
    start = end - length + 1
    if start < 0 or signs[end] == 0:
        return False
    return all(sign == signs[end] for sign in signs[start : end + 1])


def _sign(value: float | None, other: float, tolerance: float) -> int:
    if value is None or abs(value - other) <= tolerance:
        return 0
    return 1 if value > other else -1


def _beyond(value: float | None, mean: float, distance: float, tolerance: float) -> int:
    if value is None or abs(value - mean) <= distance + tolerance:
        return 0
    return 1 if value > mean else -1


def _direction(sign: int) -> Direction:
    return "high" if sign > 0 else "low"


def wilson_interval(numerator: int, denominator: int, z: float = Z_95) -> tuple[float, float]:
    """Return the Wilson score interval of one rate.

    Args:
        numerator: events, 0 to ``denominator``.
        denominator: visits, above zero.
        z: the normal deviate; 95 % by default.

    Raises:
        ValueError: the numerator lies outside 0 to the denominator, or the denominator is zero.
    """
    if denominator <= 0 or not 0 <= numerator <= denominator:
        raise ValueError("A rate needs a denominator above zero and a numerator within it.")
    rate = numerator / denominator
    square = z * z
    centre = (rate + square / (2 * denominator)) / (1 + square / denominator)
    half = (z / (1 + square / denominator)) * math.sqrt(
        rate * (1 - rate) / denominator + square / (4 * denominator**2)
    )
    # At 0 and at n the interval ends exactly at 0 and 1; the formula leaves rounding dust there.
    low = 0.0 if numerator == 0 else centre - half
    high = 1.0 if numerator == denominator else centre + half
    return low, high
