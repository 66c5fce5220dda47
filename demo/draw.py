"""Random numbers that depend on the seed, a purpose and a row's number, and on nothing else.

A generator with a state gives other numbers when rows are written in other chunks or when a column
is added. Here every value is a hash of (seed, purpose, row number), so that a network is the same
whatever the chunk size, and two columns never share a draw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


class Draw:
    """Hash-based draws of one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def uniform(self, purpose: str, rows: npt.NDArray[np.integer]) -> Floats:
        """Return numbers in [0, 1), one per row number."""
        digest = hashlib.blake2b(f"{self._seed}/{purpose}".encode(), digest_size=8).digest()
        key = np.uint64(int.from_bytes(digest, "little"))
        x = (rows.astype(np.uint64) + np.uint64(1)) * _GOLDEN + key
        x = (x ^ (x >> np.uint64(30))) * _MIX_1
        x = (x ^ (x >> np.uint64(27))) * _MIX_2
        x = x ^ (x >> np.uint64(31))
        return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def chance(self, purpose: str, rows: npt.NDArray[np.integer], share: float | Floats) -> Bools:
        """Return true for about ``share`` of the rows."""
        return self.uniform(purpose, rows) < share

    def below(self, purpose: str, rows: npt.NDArray[np.integer], limit: int | Ints) -> Ints:
        """Return integers in [0, limit)."""
        return np.floor(self.uniform(purpose, rows) * limit).astype(np.int64)

    def between(self, purpose: str, rows: npt.NDArray[np.integer], low: int, high: int) -> Ints:
        """Return integers in [low, high]."""
        return low + self.below(purpose, rows, high - low + 1)

    def choice(
        self, purpose: str, rows: npt.NDArray[np.integer], weights: Sequence[float] | Floats
    ) -> Ints:
        """Return positions in ``weights``, each drawn in proportion to its weight."""
        steps = np.cumsum(np.asarray(weights, dtype=np.float64))
        found = np.searchsorted(steps, self.uniform(purpose, rows) * steps[-1], side="right")
        place: Ints = np.minimum(found, len(steps) - 1).astype(np.int64)
        return place

    def normal(self, purpose: str, rows: npt.NDArray[np.integer]) -> Floats:
        """Return standard normal numbers (Box-Muller)."""
        radius = np.sqrt(-2.0 * np.log(1.0 - self.uniform(purpose + "/radius", rows)))
        angle: Floats = np.cos(2.0 * np.pi * self.uniform(purpose + "/angle", rows))
        return radius * angle

    def lognormal(
        self,
        purpose: str,
        rows: npt.NDArray[np.integer],
        median: float,
        spread: float,
        limits: tuple[float, float],
    ) -> Floats:
        """Return positive, right-skewed numbers held within ``limits``."""
        return np.clip(median * np.exp(spread * self.normal(purpose, rows)), *limits)
