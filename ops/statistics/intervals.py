"""Intervals of one rate and of one count.

Sources:
    Wilson interval: Wilson EB (1927), doi 10.1080/01621459.1927.10502953.
    Exact limits of a Poisson count: Garwood F (1936), doi 10.1093/biomet/28.3-4.437.
    Byar's approximation to them: Breslow NE, Day NE (1987), Statistical Methods in Cancer Research
    II, IARC Scientific Publications 82, chapter 2.
"""

from __future__ import annotations

import math

Z_95 = 1.959964
Z_998 = 3.090232
# From ten events on Byar's limits lie within two thousandths of the exact ones.
BYAR_FROM = 10


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


def poisson_limits(count: int, z: float = Z_95) -> tuple[float, float]:
    """Return the limits of the number of events expected where this many were seen.

    Exact (Garwood) below ten events, Byar's approximation from ten on, as public-health practice
    has it.

    Args:
        count: events, zero or more.
        z: the normal deviate; 95 % by default.

    Raises:
        ValueError: the count is negative.
    """
    if count < 0:
        raise ValueError("A count of events needs to be zero or more.")
    if count >= BYAR_FROM:
        return _byar(count, -z), _byar(count + 1, z)
    tail = math.erfc(z / math.sqrt(2)) / 2
    low = 0.0 if count == 0 else _poisson_mean(count - 1, 1 - tail)
    return low, _poisson_mean(count, tail)


def _byar(count: int, z: float) -> float:
    root: float = 1 - 1 / (9 * count) + z / (3 * math.sqrt(count))
    return float(count * root**3)


def _poisson_mean(count: int, probability: float) -> float:
    """Return the mean under which at most this many events have this probability."""
    low, high = 0.0, 100.0  # At most nine events: the probability is nil long before 100.
    while high - low > 1e-12 * max(high, 1.0):
        middle = (low + high) / 2
        terms = (middle**k / math.factorial(k) for k in range(count + 1))
        if math.exp(-middle) * math.fsum(terms) > probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2
