"""Kappa by hand, and against the gradient of its definition (the delta method)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chart_audit.agreement import Z_95, agreement


def pairs_of(table: list[list[int]]) -> list[tuple[str, str]]:
    return [
        (str(row), str(column))
        for row, counts in enumerate(table)
        for column, count in enumerate(counts)
        for _ in range(count)
    ]


def kappa_of(shares: np.ndarray) -> float:
    """Kappa as it is defined, over a table of shares."""
    chance = float(shares.sum(axis=1) @ shares.sum(axis=0))
    return (float(np.trace(shares)) - chance) / (1 - chance)


def independent_error(table: np.ndarray) -> float:
    """The standard error from the numeric gradient and the multinomial covariance."""
    n = table.sum()
    shares = table.ravel() / n
    step, gradient = 1e-6, []
    for cell in range(len(shares)):
        moved = [shares.copy(), shares.copy()]
        moved[0][cell] += step
        moved[1][cell] -= step
        up, down = (kappa_of(m.reshape(table.shape)) for m in moved)
        gradient.append((up - down) / (2 * step))
    slope = np.array(gradient)
    # The shares sum to one: a move along all of them at once is none.
    variance = float(shares @ slope**2 - (shares @ slope) ** 2) / n
    return math.sqrt(max(0.0, variance))


def test_by_hand() -> None:
    # 35 of 50 agree: 0.7. Chance: (25 * 30 + 25 * 20) / 2500 = 0.5. Kappa = 0.2 / 0.5 = 0.4.
    # Cells yy and nn: 0.4 * (1 - 1.1 * 0.6)^2 = 0.04624 and 0.3 * (1 - 0.9 * 0.6)^2 = 0.06348;
    # yn and ny: 0.36 * (0.1 * (0.6 + 0.5)^2 + 0.2 * (0.5 + 0.4)^2) = 0.10188;
    # less (0.4 - 0.5 * 0.6)^2 = 0.01: 0.2016. Root of 0.2016 / 50, over 0.5: 0.127.
    found = agreement(pairs_of([[20, 5], [10, 15]]))
    assert (found.pairs_count, found.equal_count) == (50, 35)
    assert found.kappa == pytest.approx(0.4)
    assert found.lower == pytest.approx(0.4 - Z_95 * 0.126996, abs=1e-5)
    assert found.upper == pytest.approx(0.4 + Z_95 * 0.126996, abs=1e-5)


def test_all_agree_none_do_and_nothing_to_tell() -> None:
    assert agreement(pairs_of([[3, 0], [0, 4]])).kappa == 1
    # Each says the other's contrary: 0 agree, chance 0.5, kappa -1.
    assert agreement(pairs_of([[0, 5], [5, 0]])).kappa == -1
    assert agreement(pairs_of([[9]])).kappa is None
    assert agreement([]).pairs_count == 0


@given(st.lists(st.lists(st.integers(1, 30), min_size=3, max_size=3), min_size=3, max_size=3))
def test_against_the_definition(table: list[list[int]]) -> None:
    counts = np.array(table, dtype=float)
    found = agreement(pairs_of(table))
    kappa, error = kappa_of(counts / counts.sum()), independent_error(counts)
    assert found.kappa == pytest.approx(kappa, abs=1e-9)
    assert found.upper == pytest.approx(min(1.0, kappa + Z_95 * error), abs=1e-5)
    assert found.lower == pytest.approx(max(-1.0, kappa - Z_95 * error), abs=1e-5)
