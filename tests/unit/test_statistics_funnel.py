"""The over-dispersed funnel against cases worked by hand and a second implementation."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.statistics.funnel import FunnelFit, fit_funnel, funnel_position
from ops.statistics.intervals import Z_95, Z_998

CHECK_NUMERATORS = [12, 30, 9, 55, 4, 18]
CHECK_DENOMINATORS = [1200, 2000, 1500, 2500, 150, 1800]


def test_funnel_matches_the_check_value_of_the_design() -> None:
    fit = fit_funnel(CHECK_NUMERATORS, CHECK_DENOMINATORS)
    assert fit is not None
    assert fit.theta == pytest.approx(0.118553, abs=5e-7)
    assert fit.phi == pytest.approx(2.55802, abs=5e-6)
    assert fit.tau2 == pytest.approx(3.559e-4, abs=5e-8)
    low, high = fit.limits(150, Z_998)
    assert low == 0.0
    assert high == pytest.approx(0.0649, abs=5e-5)


def test_funnel_of_two_hospitals_worked_by_hand() -> None:
    # 1/4 and 3/4: angles pi/6 and pi/3, pooled 4/8: pi/4, s = 1/4, so z = -pi/3 and +pi/3.
    # Type-7 centiles of two values lie a tenth of the way in: +-0.8 pi/3. phi = 0.64 pi^2 / 9.
    # w = 16 each: sum w - sum w^2 / sum w = 32 - 512/32 = 16, tau2 = (2 phi - 1) / 16.
    fit = fit_funnel([1, 3], [4, 4])
    assert fit is not None
    assert fit.theta == pytest.approx(math.pi / 4)
    assert fit.centre == pytest.approx(0.5)
    assert fit.phi == pytest.approx(0.64 * math.pi**2 / 9)
    assert fit.tau2 == pytest.approx((2 * 0.64 * math.pi**2 / 9 - 1) / 16)


def test_equal_rates_have_no_over_dispersion() -> None:
    fit = fit_funnel([10, 20, 40], [1000, 2000, 4000])
    assert fit is not None
    assert fit.phi == pytest.approx(0.0, abs=1e-20)
    assert fit.tau2 == 0.0
    # Without tau2 the limits are those of the binomial on the angle scale: s = 1 / (2 sqrt 2500).
    low, high = fit.limits(2500, Z_95)
    angle = math.asin(math.sqrt(0.01))
    assert low == pytest.approx(math.sin(angle - Z_95 / 100) ** 2)
    assert high == pytest.approx(math.sin(angle + Z_95 / 100) ** 2)


def test_one_hospital_and_none_have_a_fit_without_dispersion() -> None:
    assert fit_funnel([], []) is None
    alone = fit_funnel([5], [100])
    assert alone is not None
    assert (alone.phi, alone.tau2, alone.points_count) == (0.0, 0.0, 1)


def test_upper_angle_is_clamped_at_a_rate_of_one() -> None:
    fit = fit_funnel([99, 199], [100, 200])
    assert fit is not None
    # asin(sqrt 0.99333) is 0.08 short of pi/2; at n = 4 the spread is far more.
    assert fit.limits(4, Z_95)[1] == 1.0


def test_lower_limit_never_falls_as_hospitals_grow() -> None:
    fit = fit_funnel(CHECK_NUMERATORS, CHECK_DENOMINATORS)
    assert fit is not None
    lows = [fit.limits(n, Z_998)[0] for n in range(1, 3000)]
    assert lows == sorted(lows)


def test_funnel_position_names_the_widest_limit_crossed() -> None:
    # theta = pi/4 and tau2 = 0 by construction; at n = 100, s = 0.05:
    # 95 % limits sin^2(pi/4 +- 0.098) = 0.4027 and 0.5973; 99.8 %: 0.3479 and 0.6521.
    fit = FunnelFit(theta=math.pi / 4, phi=0.0, tau2=0.0, points_count=9)
    assert funnel_position(fit, 59, 100) == "within"
    assert funnel_position(fit, 60, 100) == "above_95"
    assert funnel_position(fit, 65, 100) == "above_95"
    assert funnel_position(fit, 66, 100) == "above_998"
    assert funnel_position(fit, 41, 100) == "within"
    assert funnel_position(fit, 40, 100) == "below_95"
    assert funnel_position(fit, 34, 100) == "below_998"


@pytest.mark.parametrize(
    ("numerators", "denominators"), [([1], [0]), ([2], [1]), ([-1], [5]), ([1, 2], [5])]
)
def test_funnel_refuses_what_is_no_rate(numerators: list[int], denominators: list[int]) -> None:
    with pytest.raises(ValueError, match="Rates need"):
        fit_funnel(numerators, denominators)


def second_fit(rates: list[tuple[int, int]]) -> tuple[float, float, float]:
    """Spiegelhalter's steps once more, without arrays: theta, phi, tau2."""
    theta = math.asin(math.sqrt(sum(r for r, _ in rates) / sum(n for _, n in rates)))
    z = [2 * math.sqrt(n) * (math.asin(math.sqrt(r / n)) - theta) for r, n in rates]
    centiles = statistics.quantiles(z, n=10, method="inclusive")
    drawn_in = [min(max(value, centiles[0]), centiles[-1]) for value in z]
    phi = statistics.fmean(value * value for value in drawn_in)
    total = sum(4 * n for _, n in rates)
    squares = sum((4 * n) ** 2 for _, n in rates)
    k = len(rates)
    tau2 = (k * phi - (k - 1)) / (total - squares / total)
    return theta, phi, max(tau2, 0.0)


@given(
    st.lists(
        st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
        min_size=2,
        max_size=40,
    )
)
def test_funnel_agrees_with_a_second_implementation(rates: list[tuple[int, int]]) -> None:
    fit = fit_funnel([r for r, _ in rates], [n for _, n in rates])
    assert fit is not None
    expected = second_fit(rates)
    assert (fit.theta, fit.phi, fit.tau2) == pytest.approx(expected, rel=1e-9, abs=1e-12)
