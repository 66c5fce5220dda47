"""Control charts: XmR for rates by month, p-chart for counts and their denominators.

Sources:
    XmR chart and its special causes: NHS England, Making Data Count.
    p-chart: Shewhart W (1931); limits of three standard errors of each point's own denominator.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

XMR_LIMIT = 2.66
XMR_WARNING = 1.773
XMR_SCREEN = 3.267
P_LIMIT = 3.0
P_WARNING = 2.0
RUN_LENGTH = 7
NEAR_WINDOW = 3
NEAR_COUNT = 2
FULL_POINTS = 12

OUTSIDE_LIMITS = "outside_limits"
RUN_ON_ONE_SIDE = "run_on_one_side"
TREND = "trend"
TWO_OF_THREE = "two_of_three"

Direction = Literal["high", "low"]


@dataclass(frozen=True)
class ChartPoint:
    """One point of a control chart and the special causes it belongs to."""

    value: float | None
    causes: tuple[str, ...]
    direction: Direction | None


@dataclass(frozen=True)
class Lines:
    """How far from the centre the control limits and the warning lines of one point lie."""

    limit: float
    warning: float


@dataclass(frozen=True)
class XmrChart:
    """Centre, limits and points of an XmR chart; limits are None below two adjacent points."""

    mean: float | None
    mean_moving_range: float | None
    lower: float | None
    upper: float | None
    is_trial: bool
    points: tuple[ChartPoint, ...]


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
        points = tuple(ChartPoint(value, (), None) for value in values)
        return XmrChart(mean, None, None, None, is_trial=True, points=points)
    mean = math.fsum(known) / len(known)
    mean_range = math.fsum(ranges) / len(ranges)
    # Rates that are equal on paper differ in the last bit: without a tolerance a flat series lies
    # "outside" its own limits and a point on the mean does not break a run.
    tolerance = 1e-12 * max(abs(value) for value in known)
    lines = [Lines(mean_range * XMR_LIMIT, mean_range * XMR_WARNING)] * len(values)
    causes = _special_causes(values, mean, lines, tolerance)
    return XmrChart(
        mean=mean,
        mean_moving_range=mean_range,
        lower=mean - XMR_LIMIT * mean_range,
        upper=mean + XMR_LIMIT * mean_range,
        is_trial=len(known) < FULL_POINTS,
        points=tuple(
            _chart_point(value, found, mean) for value, found in zip(values, causes, strict=True)
        ),
    )


@dataclass(frozen=True)
class PChart:
    """Centre, limits and points of a p-chart; all None where no point is known.

    Attributes:
        mean: all events over all visits.
        lower: of each point, 0 to 1; None where the point is missing.
        upper: of each point, 0 to 1; None where the point is missing.
        is_trial: fewer than 12 points.
        points: rates and their special causes.
    """

    mean: float | None
    lower: tuple[float | None, ...]
    upper: tuple[float | None, ...]
    is_trial: bool
    points: tuple[ChartPoint, ...]


def p_chart(numerators: Sequence[int | None], denominators: Sequence[int | None]) -> PChart:
    """Draw up a p-chart: limits of three standard errors of each point's own denominator.

    The special causes are those of the XmR chart; "near a limit" is beyond two standard errors. The
    limits hold only what chance alone does to equal visits: with thousands of visits a month they
    are too narrow for any real rate, and an XmR chart is the better one.

    Args:
        numerators: events per period, in order; None where hidden.
        denominators: visits per period; None where hidden. A period without visits is a gap.

    Raises:
        ValueError: lengths differ, or a numerator lies outside 0 to its denominator.
    """
    if len(numerators) != len(denominators):
        raise ValueError("A p-chart needs one denominator for each numerator.")
    pairs = [
        None if r is None or n is None else (r, n)
        for r, n in zip(numerators, denominators, strict=True)
    ]
    if any(not 0 <= r <= n for r, n in filter(None, pairs)):
        raise ValueError("A p-chart needs numerators within their denominators.")
    pairs = [pair if pair and pair[1] else None for pair in pairs]
    known = [pair for pair in pairs if pair is not None]
    values = [None if pair is None else pair[0] / pair[1] for pair in pairs]
    is_trial = len(known) < FULL_POINTS
    nothing = (None,) * len(pairs)
    if not known:
        points = tuple(ChartPoint(None, (), None) for _ in pairs)
        return PChart(None, nothing, nothing, is_trial, points)
    mean = sum(r for r, _ in known) / sum(n for _, n in known)
    errors = [0.0 if pair is None else math.sqrt(mean * (1 - mean) / pair[1]) for pair in pairs]
    lines = [Lines(P_LIMIT * error, P_WARNING * error) for error in errors]
    causes = _special_causes(values, mean, lines, tolerance=1e-12)
    shown = list(zip(values, lines, strict=True))
    return PChart(
        mean=mean,
        lower=tuple(None if v is None else max(0.0, mean - line.limit) for v, line in shown),
        upper=tuple(None if v is None else min(1.0, mean + line.limit) for v, line in shown),
        is_trial=is_trial,
        points=tuple(_chart_point(v, found, mean) for v, found in zip(values, causes, strict=True)),
    )


def _chart_point(value: float | None, found: dict[str, Direction], mean: float) -> ChartPoint:
    direction: Direction | None = None
    if found and value is not None:
        # A point of a trend is called by where the trend leads, any other by its side of the mean.
        others = [way for cause, way in found.items() if cause != TREND]
        direction = others[0] if others else found[TREND]
    return ChartPoint(value, tuple(sorted(found)), direction)


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
    values: Sequence[float | None], mean: float, lines: Sequence[Lines], tolerance: float
) -> list[dict[str, Direction]]:
    found: list[dict[str, Direction]] = [{} for _ in values]
    sides = [_sign(value, mean, tolerance) for value in values]
    pairs = list(zip(values, lines, strict=True))
    beyond = [_beyond(value, mean, line.limit, tolerance) for value, line in pairs]
    warned = [_beyond(value, mean, line.warning, tolerance) for value, line in pairs]
    steps = [0] + [
        0 if before is None else _sign(after, before, tolerance)
        for before, after in itertools.pairwise(values)
    ]
    for index, side in enumerate(beyond):
        if side:
            found[index][OUTSIDE_LIMITS] = _direction(side)
    for end in range(len(values)):
        _mark_window(found, sides, end, RUN_LENGTH, RUN_ON_ONE_SIDE)
        # Seven points rise in six steps; the first point's own step leads into the trend.
        if _same_sign(steps, end, RUN_LENGTH - 1) and end >= RUN_LENGTH - 1:
            for index in range(end - RUN_LENGTH + 1, end + 1):
                found[index][TREND] = _direction(steps[end])
        if _same_sign(sides, end, NEAR_WINDOW):
            window = range(end - NEAR_WINDOW + 1, end + 1)
            marked = [index for index in window if warned[index] == sides[end]]
            if len(marked) >= NEAR_COUNT:
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
