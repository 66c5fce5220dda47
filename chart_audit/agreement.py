"""How far first and second reviewers agree beyond chance: Cohen's kappa and its interval.

Cohen 1960 (Educ Psychol Meas 20:37-46); the large-sample standard error of Fleiss, Cohen and
Everitt 1969 (Psychol Bull 72:323-327).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

Z_95 = 1.959964


@dataclass(frozen=True)
class Agreement:
    """Of how many pairs, how many agree, and kappa with its 95 % interval.

    Kappa is None where every answer is one and the same, or there is no pair: chance alone would
    agree. The interval is clipped to [-1, 1]; with few pairs it is rough.
    """

    pairs_count: int
    equal_count: int
    kappa: float | None = None
    lower: float | None = None
    upper: float | None = None


def agreement(pairs: Iterable[tuple[str, str]]) -> Agreement:
    """Return the agreement of pairs of answers to one question."""
    cells = Counter(pairs)
    n = sum(cells.values())
    equal = sum(count for (one, two), count in cells.items() if one == two)
    if n == 0:
        return Agreement(0, 0)
    rows, columns = Counter[str](), Counter[str]()
    for (one, two), count in cells.items():
        rows[one] += count
        columns[two] += count
    chance = sum(rows[code] * columns[code] for code in rows)
    if chance == n * n:
        return Agreement(n, equal)
    expected = chance / (n * n)
    kappa = (equal / n - expected) / (1 - expected)
    spread = -((kappa - expected * (1 - kappa)) ** 2)
    for (one, two), count in cells.items():
        if one == two:
            weight = 1 - (rows[one] + columns[one]) / n * (1 - kappa)
        else:
            weight = (1 - kappa) * (columns[one] + rows[two]) / n
        spread += count / n * weight**2
    # Rounding can leave it a hair below zero where all agree.
    error = math.sqrt(max(0.0, spread) / n) / (1 - expected)
    return Agreement(
        n, equal, kappa, max(-1.0, kappa - Z_95 * error), min(1.0, kappa + Z_95 * error)
    )
