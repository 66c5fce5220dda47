"""Cumulative incidence by hand, without censoring, and against a second implementation."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.statistics.time_to_return import CumulativeIncidence, cumulative_incidence

PERIODS = 5
# One visit: the period of its end and whether it is a return (0) or a death (1), and for how many
# whole periods it could be followed. A period above PERIODS: no end is seen.
Visit = tuple[int, int, int]
VISITS = st.lists(
    st.tuples(st.integers(1, PERIODS + 1), st.integers(0, 1), st.integers(0, PERIODS)),
    min_size=1,
    max_size=60,
)


def counts(visits: list[Visit]) -> tuple[list[int], list[list[int]]]:
    """Numbers at risk and events, counted as the curve asks for them."""
    periods = range(1, PERIODS + 1)
    at_risk = [sum(end >= t and followed >= t for end, _, followed in visits) for t in periods]
    events = [
        [sum(end == t <= followed and kind == k for end, kind, followed in visits) for t in periods]
        for k in (0, 1)
    ]
    return at_risk, events


def curve(visits: list[Visit]) -> CumulativeIncidence:
    return cumulative_incidence(*counts(visits))


def test_ten_visits_worked_by_hand() -> None:
    # Day 1: 10 at risk, 2 return, 1 dies: 0.2, 0.1, 7/10 wait.
    # Two of the seven are lost. Day 2: 5 at risk, 1 returns: 7/10 * 1/5 = 0.14 more, 0.56 wait.
    # Day 3: 4 at risk, 1 returns, 1 dies: 0.56 / 4 = 0.14 more of each, 0.28 wait.
    found = cumulative_incidence([10, 5, 4], [[2, 1, 1], [1, 0, 1]])
    assert found.incidence[0] == pytest.approx([0.20, 0.34, 0.48])
    assert found.incidence[1] == pytest.approx([0.10, 0.10, 0.24])
    assert found.waiting == pytest.approx([0.70, 0.56, 0.28])
    # One minus Kaplan-Meier, the dead taken for lost: 1 - 8/10 * 4/5 * 3/4 = 0.52, too many.
    assert found.incidence[0][-1] < 1 - 0.8 * 0.8 * 0.75
    # Day 1 is a share of ten visits: its variance is 0.2 * 0.8 / 10.
    assert found.standard_error[0][0] == pytest.approx(0.016**0.5)


def test_limits_worked_by_hand() -> None:
    # 0.2 of ten visits: error 0.126491; 0.2 ln 0.2 = -0.321888; 1.959964 * 0.126491 / 0.321888 =
    # 0.770206; exp of it 2.160212, of its negative 0.462918: 0.2^2.160212 and 0.2^0.462918.
    found = cumulative_incidence([10], [[2]])
    lower, upper = found.limits(0, 1.959964)
    assert (lower[0], upper[0]) == (
        pytest.approx(0.03090, abs=2e-5),
        pytest.approx(0.4747, abs=2e-4),
    )


def test_nobody_and_everybody_have_no_limits() -> None:
    for events in (0, 10):
        lower, upper = cumulative_incidence([10], [[events]]).limits(0, 1.959964)
        assert np.isnan([lower[0], upper[0]]).all()


def test_limits_hold_the_true_share_as_often_as_they_say() -> None:
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(600):
        lower, upper = cumulative_incidence([200], [[int(rng.binomial(200, 0.1))]]).limits(0, 1.96)
        held += bool(lower[0] <= 0.1 <= upper[0])
    assert held / 600 == pytest.approx(0.95, abs=0.025)


def test_variance_of_two_days_worked_by_hand() -> None:
    # Day 1: h = 1/5 return, g = 1/5 die of 10. Day 2: 4 at risk, f = 1/4 return, nobody dies.
    # I = h + (1 - h - g) f. Derivatives: by h 1 - f = 3/4, by g -f = -1/4, by f 3/5.
    # Day 1: (9/16 * 1/5 + 1/16 * 1/5 - (3/20 - 1/20)^2) / 10 = (1/8 - 1/100) / 10 = 0.0115.
    # Day 2: 9/25 * (1/4 * 3/4) / 4 = 0.016875.
    found = cumulative_incidence([10, 4], [[2, 1], [2, 0]])
    assert found.incidence[0][1] == pytest.approx(0.35)
    assert found.standard_error[0][1] ** 2 == pytest.approx(0.0115 + 0.016875)


@given(st.lists(st.tuples(st.integers(1, PERIODS + 1), st.integers(0, 1)), min_size=1))
def test_without_censoring_the_curve_is_a_plain_share(ends: list[tuple[int, int]]) -> None:
    visits = [(end, kind, PERIODS) for end, kind in ends]
    found = curve(visits)
    for k in (0, 1):
        for t in range(1, found.periods_count + 1):
            share = sum(end <= t and kind == k for end, kind in ends) / len(ends)
            assert found.incidence[k][t - 1] == pytest.approx(share)
            # So is its variance that of a share: p (1 - p) / n.
            variance = share * (1 - share) / len(ends)
            assert found.standard_error[k][t - 1] ** 2 == pytest.approx(variance, abs=1e-12)


def weighted(visits: list[Visit], kind: int, until: int) -> Fraction:
    """The same by another road: each return seen counts for those who were lost by then.

    Inverse probability of censoring: a return of period t stands for 1 / G(t) visits, where G is
    the share still followed through period t, by Kaplan-Meier of the losses.
    """
    followed_share = Fraction(1)
    total = Fraction(0)
    for t in range(1, until + 1):
        waiting = [v for v in visits if v[0] >= t and v[2] >= t - 1]
        kept = [v for v in waiting if v[2] >= t]
        if not kept:
            break
        followed_share *= Fraction(len(kept), len(waiting))
        seen = sum(end == t and k == kind for end, k, _ in kept)
        total += seen / (followed_share * len(visits))
    return total


@given(VISITS)
def test_curve_agrees_with_weights_of_censoring(visits: list[Visit]) -> None:
    found = curve(visits)
    for k in (0, 1):
        for t in range(1, found.periods_count + 1):
            assert found.incidence[k][t - 1] == pytest.approx(float(weighted(visits, k, t)))


@given(VISITS)
def test_everybody_returns_dies_or_waits(visits: list[Visit]) -> None:
    found = curve(visits)
    assert found.incidence.sum(axis=0) + found.waiting == pytest.approx(
        np.ones(found.periods_count)
    )
    assert np.all(np.diff(found.incidence, axis=1) >= 0)
    assert np.all(np.isfinite(found.standard_error))


def test_curve_ends_where_nobody_is_followed() -> None:
    found = cumulative_incidence([4, 2, 0], [[1, 0, 0]])
    assert found.periods_count == 2
    assert found.incidence.shape == (1, 2)
    assert cumulative_incidence([0, 0], [[0, 0]]).periods_count == 0
    assert cumulative_incidence([], [[]]).periods_count == 0


def test_standard_error_is_the_spread_of_repeated_samples() -> None:
    rng = np.random.default_rng(3)
    ends, errors = [], []
    for _ in range(1500):
        end = rng.choice([1, 2, 3, 4, 9], size=120, p=[0.1, 0.15, 0.1, 0.05, 0.6])
        kind = rng.integers(0, 3, size=120) // 2
        followed = rng.integers(1, PERIODS + 1, size=120)
        found = curve(list(zip(end.tolist(), kind.tolist(), followed.tolist(), strict=True)))
        ends.append(found.incidence[0][3])
        errors.append(found.standard_error[0][3])
    assert np.mean(errors) == pytest.approx(np.std(ends), rel=0.05)


@pytest.mark.parametrize(
    ("at_risk", "events", "message"),
    [
        ([5, 4], [[1]], "one number at risk"),
        ([5], [[6]], "within those at risk"),
        ([5], [[3], [3]], "within those at risk"),
        ([5], [[-1]], "zero or more"),
        ([5, 5], [[1, 0]], "More are at risk"),
    ],
)
def test_curve_refuses_what_cannot_be(
    at_risk: list[int], events: list[list[int]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        cumulative_incidence(at_risk, events)
