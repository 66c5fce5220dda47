"""Funnel plot of proportions with limits widened for over-dispersion.

Source: Spiegelhalter D (2005), Funnel plots for comparing institutional performance, Statistics in
Medicine 24:1185-1202, doi 10.1002/sim.1970: proportions on the scale of asin(sqrt(rate)), z scores
winsorised at the 10th and 90th centile (linear interpolation), additive random effects.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ops.statistics.intervals import Z_95, Z_998
from ops.statistics.rates import as_rates


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
    r, n = as_rates(numerators, denominators)
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
