"""Indirect standardisation: what a hospital's mix of visits would lead one to expect.

A declared model is a list of strata (age band, sex, acuity, way of arrival ...) and the network's
rate in each. Expected is the sum over strata of the hospital's visits times the network's rate.
The ratio of observed to expected says how the hospital compares with the network on *its own* mix;
two hospitals' ratios stand on different mixes and are not to be ranked against each other.

Sources:
    Indirect standardisation and the limits of the ratio: Breslow NE, Day NE (1987), Statistical
    Methods in Cancer Research II, IARC Scientific Publications 82, chapter 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ops.statistics.intervals import Z_95, poisson_limits


@dataclass(frozen=True)
class StandardisedRatio:
    """Observed over expected events of one hospital.

    Attributes:
        observed: events.
        expected: events at the network's rates; above zero.
        ratio: observed / expected.
        lower: of the ratio; the expected number is taken as known.
        upper: of the ratio.
        rate: the ratio times the network's overall rate.
    """

    observed: int
    expected: float
    ratio: float
    lower: float
    upper: float
    rate: float


def reference_rates(numerators: Sequence[int], denominators: Sequence[int]) -> list[float | None]:
    """Return the network's rate of each stratum; None where it has no visit.

    Args:
        numerators: events of the network, one per stratum.
        denominators: visits of the network, one per stratum.

    Raises:
        ValueError: lengths differ, or a numerator lies outside 0 to its denominator.
    """
    if len(numerators) != len(denominators):
        raise ValueError("A reference needs one denominator for each numerator.")
    pairs = list(zip(numerators, denominators, strict=True))
    if any(not 0 <= r <= n for r, n in pairs):
        raise ValueError("A reference needs numerators within their denominators.")
    return [r / n if n else None for r, n in pairs]


def standardised_ratio(
    observed: int,
    denominators: Sequence[int],
    rates: Sequence[float | None],
    *,
    overall_rate: float,
    z: float = Z_95,
) -> StandardisedRatio | None:
    """Standardise one hospital's events.

    Args:
        observed: the hospital's events over all strata.
        denominators: the hospital's visits, one per stratum.
        rates: the network's rates, one per stratum, from ``reference_rates``.
        overall_rate: the network's rate over all strata.
        z: the normal deviate of the limits; 95 % by default.

    Returns:
        The ratio, or None where nothing is expected.

    Raises:
        ValueError: lengths differ, a count is negative or greater than the visits, or the hospital
            has visits in a stratum for which there is no reference.
    """
    if len(denominators) != len(rates):
        raise ValueError("A standardised ratio needs one reference rate for each stratum.")
    if any(n < 0 for n in denominators) or not 0 <= observed <= sum(denominators):
        raise ValueError(
            "A standardised ratio needs visits of zero or more and events within them."
        )
    if any(n and rate is None for n, rate in zip(denominators, rates, strict=True)):
        raise ValueError("A stratum in which the hospital has visits has no reference rate.")
    visits = np.asarray(denominators, dtype=np.float64)
    expected = float(visits @ np.asarray([rate or 0.0 for rate in rates], dtype=np.float64))
    if expected <= 0:
        return None
    low, high = poisson_limits(observed, z)
    ratio = observed / expected
    return StandardisedRatio(
        observed, expected, ratio, low / expected, high / expected, ratio * overall_rate
    )
