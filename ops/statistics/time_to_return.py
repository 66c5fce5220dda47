"""Time-to-return curve: cumulative incidence with competing ends.

A patient sent home may come back and be admitted, come back and not be admitted, die first, or be
lost from sight because the data end. One minus Kaplan-Meier would count the dead as if they could
still come back, and share out their returns among the living. The Aalen-Johansen estimate adds up,
day by day, what share of all is still waiting and then comes back.

Sources:
    Aalen OO, Johansen S (1978), An empirical transition matrix for non-homogeneous Markov chains,
    Scandinavian Journal of Statistics 5:141-150.
    Variance (delta method, of the discrete estimate) and limits: Marubini E, Valsecchi MG (1995),
    Analysing Survival Data from Clinical Trials and Observational Studies, chapter 10; Choudhury JB
    (2002), Non-parametric confidence interval estimation for competing risks analysis, Statistics
    in Medicine 21:1129-1144.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CumulativeIncidence:
    """Shares of index visits by the end of each period; all of shape (periods,), 0 to 1.

    Attributes:
        incidence: by cause, in the order given; shape (causes, periods).
        standard_error: of each incidence; shape (causes, periods).
        waiting: event-free at the end of the period. Incidences and waiting sum to one.
        periods_count: periods with anybody at risk. Later ones are not estimated and left out.
    """

    incidence: Floats
    standard_error: Floats
    waiting: Floats
    periods_count: int

    def limits(self, cause: int, z: float) -> tuple[Floats, Floats]:
        """Return the lower and upper limits of one cause's incidence; nan where it is 0 or 1.

        On the scale of log(-log), on which no limit falls outside 0 and 1.

        Args:
            cause: its position among the causes.
            z: the normal deviate.
        """
        incidence, error = self.incidence[cause], self.standard_error[cause]
        inside = (incidence > 0) & (incidence < 1)
        share = np.where(inside, incidence, np.nan)
        spread = z * error / (share * np.log(share))
        return share ** np.exp(-spread), share ** np.exp(spread)


def cumulative_incidence(
    at_risk: Sequence[int], events: Sequence[Sequence[int]]
) -> CumulativeIncidence:
    """Estimate the cumulative incidence of each cause.

    A period counts those who are followed for the whole of it, whether or not an event is seen: who
    is lost within a period leaves before it, with the event. Counting the events of periods that
    are not seen to their end would favour those who come back.

    Args:
        at_risk: event-free at the start of each period and followed for the whole of it.
        events: per cause, the events of each period.

    Raises:
        ValueError: lengths differ, counts are negative, more events than at risk, or more at risk
            than were left the period before.
    """
    n = np.asarray(at_risk, dtype=np.int64)
    d = np.asarray(events, dtype=np.int64).reshape(len(events), -1)
    total = _checked_totals(n, d)
    # Nobody is at risk from the first empty period on: the estimate ends there.
    size = int(np.argmax(n == 0)) if np.any(n == 0) else len(n)
    n, d, total = n[:size], d[:, :size], total[:size]
    share = d / n
    waiting: Floats = np.cumprod(1 - total / n, dtype=np.float64)
    before: Floats = np.ones(size, dtype=np.float64)
    before[1:] = waiting[:-1]
    incidence: Floats = np.cumsum(before * share, axis=1, dtype=np.float64)
    return CumulativeIncidence(
        incidence=incidence,
        standard_error=np.sqrt(_variance(n, d, total, before, incidence)),
        waiting=waiting,
        periods_count=size,
    )


def _checked_totals(n: NDArray[np.int64], d: NDArray[np.int64]) -> NDArray[np.int64]:
    if d.shape[1] != len(n):
        raise ValueError("A curve needs one number at risk for each period of each cause.")
    total: NDArray[np.int64] = d.sum(axis=0)
    if np.any(n < 0) or np.any(d < 0) or np.any(total > n):
        raise ValueError("A curve needs counts of zero or more and events within those at risk.")
    if np.any(n[1:] > (n - total)[:-1]):
        raise ValueError("More are at risk in a period than were left the period before.")
    return total


def _variance(
    n: NDArray[np.int64],
    d: NDArray[np.int64],
    total: NDArray[np.int64],
    before: Floats,
    incidence: Floats,
) -> Floats:
    """Return the variances: each period is a multinomial draw of its events.

    I(t) depends on the shares h_k(j) = d_k(j) / n(j) of all periods j <= t. Its derivative by a
    share of its own cause is S(j-1) - R(j) and by any other -R(j), where R(j) is
    (I(t) - I(j)) / (1 - h(j)): what comes later, given somebody is left.
    """
    variance = np.zeros_like(incidence)
    left = 1 - total / n
    for cause, curve in enumerate(incidence):
        own = d[cause] / n
        other = (total - d[cause]) / n
        for t in range(len(n)):
            j = slice(0, t + 1)
            # Where nobody is left nothing can come later.
            rest = np.divide(curve[t] - curve[j], left[j], out=np.zeros(t + 1), where=left[j] > 0)
            a, b = before[j] - rest, -rest
            mean = a * own[j] + b * other[j]
            spread = a**2 * own[j] + b**2 * other[j] - mean**2
            variance[cause, t] = float((spread / n[j]).sum())
    return np.maximum(variance, 0.0)
