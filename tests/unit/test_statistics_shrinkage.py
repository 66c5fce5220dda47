"""Beta-binomial shrinkage by hand, at its limits, by numerical integration and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta, binom

from ops.statistics.shrinkage import ShrinkageFit, fit_shrinkage

RATES = st.lists(
    st.integers(1, 4000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    min_size=2,
    max_size=30,
)


def test_two_hospitals_worked_by_hand() -> None:
    # 1/4 and 3/4: mean 1/2, sum of squares 4/16 + 4/16 = 1/2, over 1/4: 2. Expected by chance 1;
    # room 8 - 32/8 - 1 = 3: correlation 1/3, alpha + beta = 2, alpha = beta = 1.
    fit = fit_shrinkage([1, 3], [4, 4])
    assert fit is not None
    assert fit.mean == pytest.approx(0.5)
    assert fit.correlation == pytest.approx(1 / 3)
    assert fit.weight(4) == pytest.approx(4 / 6)
    assert fit.shrunk_rate(1, 4) == pytest.approx((1 + 1) / (4 + 2))
    assert fit.shrunk_rate(3, 4) == pytest.approx((3 + 1) / (4 + 2))


def test_unequal_hospitals_worked_by_hand() -> None:
    # 0/10 and 6/20: mean 1/5, squares 10/25 + 20/100 = 0.6, over 4/25: 3.75.
    # Room 30 - 500/30 - 1 = 37/3: correlation 2.75 * 3 / 37 = 0.222973, alpha + beta = 3.484848.
    fit = fit_shrinkage([0, 6], [10, 20])
    assert fit is not None
    assert fit.correlation == pytest.approx(8.25 / 37)
    spread = 37 / 8.25 - 1
    assert fit.shrunk_rate(0, 10) == pytest.approx(0.2 * spread / (10 + spread))
    assert fit.shrunk_rate(6, 20) == pytest.approx((6 + 0.2 * spread) / (20 + spread))


def test_rates_that_differ_by_chance_alone_are_shrunk_to_the_mean() -> None:
    fit = fit_shrinkage([10, 20, 40], [1000, 2000, 4000])
    assert fit is not None
    assert fit.correlation == 0.0
    assert fit.shrunk_rate(0, 50) == pytest.approx(0.01)


def test_all_or_nothing_hospitals_are_not_shrunk() -> None:
    fit = fit_shrinkage([0, 4], [4, 4])
    assert fit is not None
    assert fit.correlation == 1.0
    assert (fit.shrunk_rate(0, 4), fit.shrunk_rate(4, 4)) == (0.0, 1.0)


def test_one_visit_each_tells_nothing_of_hospitals() -> None:
    fit = fit_shrinkage([0, 1, 0, 1], [1, 1, 1, 1])
    assert fit is not None
    assert (fit.mean, fit.correlation) == (0.5, 0.0)


@pytest.mark.parametrize(
    ("numerators", "denominators"), [([], []), ([5], [100]), ([0, 0], [9, 9]), ([9, 9], [9, 9])]
)
def test_there_is_nothing_to_borrow(numerators: list[int], denominators: list[int]) -> None:
    assert fit_shrinkage(numerators, denominators) is None


@pytest.mark.parametrize(("r", "n"), [(0, 40), (3, 40), (40, 40), (12, 900)])
def test_shrunk_rate_is_the_mean_of_the_integrated_posterior(r: int, n: int) -> None:
    a, b = 2.4, 117.6
    fit = ShrinkageFit(mean=a / (a + b), correlation=1 / (a + b + 1), points_count=9)

    def posterior(rate: float, power: int) -> float:
        return float(rate**power * beta.pdf(rate, a, b) * binom.pmf(r, n, rate))

    ends = {"points": [0.005, 0.02, 0.05, 0.2, 0.5], "epsabs": 0.0, "epsrel": 1e-10, "limit": 200}
    moments = [quad(posterior, 0, 1, args=(power,), **ends)[0] for power in (0, 1)]
    assert fit.shrunk_rate(r, n) == pytest.approx(moments[1] / moments[0], rel=1e-7)


def test_moments_find_the_distribution_that_rates_were_drawn_from() -> None:
    rng = np.random.default_rng(20250101)
    a, b = 6.0, 494.0
    visits = rng.integers(200, 6000, size=4000)
    events = rng.binomial(visits, rng.beta(a, b, size=visits.size))
    fit = fit_shrinkage(events.tolist(), visits.tolist())
    assert fit is not None
    assert fit.mean == pytest.approx(a / (a + b), rel=0.02)
    assert fit.correlation == pytest.approx(1 / (a + b + 1), rel=0.06)


def test_shrunk_rates_lie_nearer_the_true_ones() -> None:
    rng = np.random.default_rng(7)
    visits = rng.integers(50, 3000, size=300)
    true = rng.beta(6.0, 494.0, size=visits.size)
    events = rng.binomial(visits, true)
    fit = fit_shrinkage(events.tolist(), visits.tolist())
    assert fit is not None
    shrunk = [fit.shrunk_rate(int(r), int(n)) for r, n in zip(events, visits, strict=True)]
    error = float(((np.asarray(shrunk) - true) ** 2).sum())
    assert error < 0.6 * float(((events / visits - true) ** 2).sum())


@given(RATES)
def test_a_shrunk_rate_lies_between_the_rate_and_the_mean(rates: list[tuple[int, int]]) -> None:
    fit = fit_shrinkage([r for r, _ in rates], [n for _, n in rates])
    assume(fit is not None)
    assert fit is not None
    for r, n in rates:
        low, high = sorted((r / n, fit.mean))
        assert low - 1e-12 <= fit.shrunk_rate(r, n) <= high + 1e-12
        assert fit.weight(n) <= fit.weight(n + 1)


@pytest.mark.parametrize(
    ("numerators", "denominators"), [([1], [0]), ([2], [1]), ([-1], [5]), ([1, 2], [5])]
)
def test_shrinkage_refuses_what_is_no_rate(numerators: list[int], denominators: list[int]) -> None:
    with pytest.raises(ValueError, match="Rates need"):
        fit_shrinkage(numerators, denominators)


def test_a_shrunk_rate_needs_a_rate() -> None:
    with pytest.raises(ValueError, match="A rate needs"):
        ShrinkageFit(0.1, 0.1, 3).shrunk_rate(2, 1)
