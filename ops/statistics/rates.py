"""Events and visits of each hospital, as the models of several hospitals take them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def as_rates(numerators: Sequence[int], denominators: Sequence[int]) -> tuple[Numbers, Numbers]:
    """Return events and visits as arrays, one element per hospital.

    Args:
        numerators: events, one per hospital, each from 0 to its denominator.
        denominators: visits, one per hospital, each above zero.

    Raises:
        ValueError: lengths differ, or a numerator lies outside 0 to its denominator.
    """
    r = np.asarray(numerators, dtype=np.float64)
    n = np.asarray(denominators, dtype=np.float64)
    if r.shape != n.shape:
        raise ValueError("Rates need one denominator for each numerator.")
    if np.any(n <= 0) or np.any(r < 0) or np.any(r > n):
        raise ValueError("Rates need denominators above zero and numerators within them.")
    return r, n
