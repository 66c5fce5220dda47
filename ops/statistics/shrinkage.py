"""Empirical-Bayes shrinkage of rates: a beta-binomial model, fitted by moments.

A small hospital's rate is mostly chance. The model says that the hospitals' true rates vary about a
common mean as a beta distribution, and that each hospital's events are binomial; the shrunk rate is
the mean of a hospital's true rate given its events, (r + alpha) / (n + alpha + beta).

Sources:
    Moments for unequal denominators: Kleinman JC (1973), Proportions with extraneous variance,
    Journal of the American Statistical Association 68:46-54, doi 10.1080/01621459.1973.10481332;
    weights are the denominators.
    Empirical Bayes: Efron B, Morris C (1975), doi 10.1080/01621459.1975.10479864.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ops.statistics.rates import as_rates


@dataclass(frozen=True)
class ShrinkageFit:
    """The beta distribution of true rates.

    Attributes:
        mean: the common mean, alpha / (alpha + beta); above 0 and below 1.
        correlation: of two visits to one hospital, 1 / (alpha + beta + 1). Zero: the rates differ
            by no more than chance, and every one is shrunk to the mean. One: no hospital's rate
            tells anything of another's, and none is shrunk.
        points_count: hospitals in the fit.
    """

    mean: float
    correlation: float
    points_count: int

    def weight(self, denominator: int) -> float:
        """Return how much of a hospital's own rate remains, 0 to 1: n / (n + alpha + beta).

        Args:
            denominator: visits, above zero.
        """
        own = self.correlation * denominator
        return own / (own + 1 - self.correlation)

    def shrunk_rate(self, numerator: int, denominator: int) -> float:
        """Return (r + alpha) / (n + alpha + beta).

        Args:
            numerator: events, 0 to ``denominator``.
            denominator: visits, above zero.

        Raises:
            ValueError: the numerator lies outside 0 to the denominator, or there is no visit.
        """
        if denominator <= 0 or not 0 <= numerator <= denominator:
            raise ValueError("A rate needs a denominator above zero and a numerator within it.")
        weight = self.weight(denominator)
        return weight * numerator / denominator + (1 - weight) * self.mean


def fit_shrinkage(numerators: Sequence[int], denominators: Sequence[int]) -> ShrinkageFit | None:
    """Fit the beta-binomial model to one rate per hospital.

    Args:
        numerators: events, one per hospital.
        denominators: visits, one per hospital, each above zero.

    Returns:
        The fit, or None where there is nothing to borrow: fewer than two hospitals, no event at
        all, or nothing but events.

    Raises:
        ValueError: lengths differ, or a numerator lies outside 0 to its denominator.
    """
    r, n = as_rates(numerators, denominators)
    k = len(r)
    total = float(n.sum())
    if k <= 1 or not 0 < r.sum() < total:
        return None
    mean = float(r.sum() / total)
    squares = float((n * (r / n - mean) ** 2).sum()) / (mean * (1 - mean))
    # The expected sum of squares is (k - 1) + correlation * room.
    room = total - float((n**2).sum()) / total - (k - 1)
    if room <= 0:  # One visit each: two visits to one hospital are never seen.
        return ShrinkageFit(mean, 0.0, k)
    return ShrinkageFit(mean, min(max((squares - (k - 1)) / room, 0.0), 1.0), k)
