"""Funnel, XmR and Wilson against published check values and cases worked by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.publication import statistics
from ops.publication.statistics import (
    OUTSIDE_LIMITS,
    RUN_ON_ONE_SIDE,
    TREND,
    TWO_OF_THREE,
    Z_95,
    Z_998,
    fit_funnel,
    funnel_position,
    wilson_interval,
    xmr_chart,
)

CHECK_NUMERATORS = [12, 30, 9, 55, 4, 18]
CHECK_DENOMINATORS = [1200, 2000, 1500, 2500, 150, 1800]


def test_funnel_matches_the_published_check_value() -> None:
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
    fit = statistics.FunnelFit(theta=math.pi / 4, phi=0.0, tau2=0.0, points_count=9)
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
    with pytest.raises(ValueError, match="A funnel needs"):
        fit_funnel(numerators, denominators)


def causes(values: list[float | None]) -> list[tuple[str, ...]]:
    return [point.causes for point in xmr_chart(values).points]


def test_xmr_limits_worked_by_hand() -> None:
    # Mean 46/4 = 11.5; moving ranges 2, 1, 2: mean 5/3; 2.66 * 5/3 = 4.4333.
    chart = xmr_chart([10, 12, 11, 13])
    assert chart.mean == pytest.approx(11.5)
    assert chart.mean_moving_range == pytest.approx(5 / 3)
    assert chart.lower == pytest.approx(11.5 - 2.66 * 5 / 3)
    assert chart.upper == pytest.approx(11.5 + 2.66 * 5 / 3)
    assert all(point.causes == () for point in chart.points)


def test_fewer_than_twelve_points_have_trial_limits() -> None:
    values = [10.0, 12.0] * 6
    assert xmr_chart(values[:11]).is_trial
    assert not xmr_chart(values).is_trial
    # A hidden month is no point.
    assert xmr_chart([*values[:11], None]).is_trial


def test_point_outside_the_limits_is_a_special_cause_and_the_limit_itself_is_not() -> None:
    # Twelve points of 0 and one of x: mean x/13, mean MR 2x/12 when x is inside the series.
    # Upper limit x/13 + 2.66 x/6 = 0.520 x: x lies outside whatever it is.
    values: list[float | None] = [0.0] * 6 + [13.0] + [0.0] * 6
    found = causes(values)
    assert OUTSIDE_LIMITS in found[6]
    assert all(OUTSIDE_LIMITS not in cause for index, cause in enumerate(found) if index != 6)
    assert xmr_chart(values).points[6].direction == "high"
    # Mean 10, no range: every point lies exactly on its limits.
    assert causes([10.0] * 13) == [()] * 13


def test_flat_series_of_fractions_is_no_signal() -> None:
    # 0.1 * 3 / 3 is not 0.1 in binary; rounding dust must not look like a signal.
    assert causes([0.1] * 13) == [()] * 13


def zigzag(start: float, step: float, count: int) -> list[float | None]:
    return [start + (step if index % 2 else 0.0) for index in range(count)]


def test_seven_on_one_side_is_a_run_and_six_is_not() -> None:
    # 7 points about 12 and 7 about 8, mean exactly 10: two runs. Wide zigzag keeps limits wide.
    seven = zigzag(11, 2, 7) + zigzag(7, 2, 7)
    mean = sum(value for value in seven if value is not None) / 14
    assert min(value for value in seven[:7] if value is not None) > mean
    assert [RUN_ON_ONE_SIDE in cause for cause in causes(seven)] == [True] * 14
    assert xmr_chart(seven).points[0].direction == "high"
    assert xmr_chart(seven).points[13].direction == "low"
    six = zigzag(11, 2, 6) + zigzag(7, 2, 6)
    assert not any(RUN_ON_ONE_SIDE in cause for cause in causes(six))


def test_point_on_the_mean_breaks_a_run() -> None:
    # Highs 12 and lows 8 about a mean of exactly 10; the fourth point lies on it.
    values: list[float | None] = [12, 11, 12, 10, 12, 11, 12, 8, 9, 8, 8, 9, 8]
    chart = xmr_chart(values)
    assert chart.mean == pytest.approx(10.0)
    # Before and after the point on the mean: 3 and 3 above, then 6 below: no run of seven.
    assert not any(RUN_ON_ONE_SIDE in point.causes for point in chart.points)
    # Take the point on the mean away (six above, six below), then add a seventh on each side.
    whole: list[float | None] = [12, 11, 12, 12, 12, 11, 12, 8, 9, 8, 8, 8, 9, 8]
    assert all(RUN_ON_ONE_SIDE in point.causes for point in xmr_chart(whole).points)


def test_a_hidden_month_breaks_a_run() -> None:
    values: list[float | None] = [12, 11, 12, None, 12, 11, 12, 12, 8, 9, 8, 8, 8, 9]
    assert not any(RUN_ON_ONE_SIDE in cause for cause in causes(values))


def test_hidden_month_has_no_moving_range_to_either_side() -> None:
    # Ranges 2 (10 to 12) and 1 (20 to 21); the jump over the gap is none.
    assert xmr_chart([10, 12, None, 20, 21]).mean_moving_range == pytest.approx(1.5)


def test_seven_rising_points_are_a_trend_and_six_are_not() -> None:
    # 20, then 1 2 3 4 5 6 7, then 0: the rise has seven points and six steps.
    rising = causes([20, 1, 2, 3, 4, 5, 6, 7, 0])
    assert [TREND in cause for cause in rising] == [False] + [True] * 7 + [False]
    six = causes([20, 1, 2, 3, 4, 5, 6, 0, 9])
    assert not any(TREND in cause for cause in six)
    falling = xmr_chart([0, 7, 6, 5, 4, 3, 2, 1, 20])
    assert [TREND in point.causes for point in falling.points] == [False] + [True] * 7 + [False]


def test_first_seven_points_of_a_series_can_be_a_trend() -> None:
    assert [TREND in cause for cause in causes([1, 2, 3, 4, 5, 6, 7])] == [True] * 7


def test_two_equal_points_break_a_trend() -> None:
    assert not any(TREND in cause for cause in causes([1, 2, 3, 4, 4, 5, 6, 7]))


# Base: 20 points about a mean of 0 whose moving ranges stay near 2 (alternating +-1), so that
# limits lie near 5.3 and warning lines near 3.5. Triples are put at the front.
BASE = [1.0, -1.0] * 20


def near(triple: list[float]) -> list[tuple[str, ...]]:
    """Causes of three points followed by their mirror image far away: the mean stays 0."""
    middle = len(BASE) // 2
    values: list[float | None] = [
        *BASE[:middle], *triple, *BASE[middle:], *[-value for value in triple]
    ]  # fmt: skip
    chart = xmr_chart(values)
    assert chart.mean == pytest.approx(0.0, abs=1e-12)
    assert chart.mean_moving_range is not None
    warning = 1.773 * chart.mean_moving_range
    limit = 2.66 * chart.mean_moving_range
    assert all(abs(value) < limit for value in triple)
    assert [value > warning for value in triple] == [value > 3.6 for value in triple]
    return [point.causes for point in chart.points[middle : middle + 3]]


def test_two_of_three_near_a_limit_marks_the_two() -> None:
    assert [TWO_OF_THREE in cause for cause in near([4.5, 0.5, 4.5])] == [True, False, True]
    assert [TWO_OF_THREE in cause for cause in near([4.5, 4.5, 0.5])] == [True, True, False]


def test_one_of_three_near_a_limit_is_no_signal() -> None:
    assert not any(TWO_OF_THREE in cause for cause in near([4.5, 0.5, 0.5]))


def test_two_of_three_need_all_three_on_one_side() -> None:
    assert not any(TWO_OF_THREE in cause for cause in near([4.5, -0.5, 4.5]))


def test_screening_leaves_wide_ranges_out_of_the_limits() -> None:
    # Ranges 1 (eleven times) and 23: mean 34/12 = 2.8333, screen at 9.2565: 23 goes, mean 1.
    values = [0.0, 1.0] * 6 + [24.0]
    assert xmr_chart(values).mean_moving_range == pytest.approx(34 / 12)
    assert xmr_chart(values, screen=True).mean_moving_range == pytest.approx(1.0)


def test_one_point_has_no_limits() -> None:
    chart = xmr_chart([5.0])
    assert (chart.mean, chart.lower, chart.upper, chart.is_trial) == (5.0, None, None, True)
    assert xmr_chart([]).mean is None
    assert xmr_chart([None, None]).mean is None


@given(st.lists(st.one_of(st.none(), st.integers(0, 50).map(float)), max_size=40))
def test_mirrored_series_has_mirrored_causes(values: list[float | None]) -> None:
    chart = xmr_chart(values)
    mirrored = xmr_chart([None if value is None else -value for value in values])
    assert [point.causes for point in chart.points] == [point.causes for point in mirrored.points]


def test_wilson_of_a_published_example() -> None:
    # Newcombe 1998 (doi 10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E),
    # method 3: 81/263 has 0.2553 to 0.3662.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_wilson_at_the_ends() -> None:
    # r = 0: low 0, high z^2 / (n + z^2); r = n mirrors it.
    square = Z_95**2
    assert wilson_interval(0, 10) == pytest.approx((0.0, square / (10 + square)))
    assert wilson_interval(10, 10) == pytest.approx((10 / (10 + square), 1.0))


@pytest.mark.parametrize(("numerator", "denominator"), [(1, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_what_is_no_rate(numerator: int, denominator: int) -> None:
    with pytest.raises(ValueError, match="A rate needs"):
        wilson_interval(numerator, denominator)


def test_point_on_the_mean_is_on_it_in_spite_of_rounding() -> None:
    # 8/3 and 2/3 about a mean of exactly 5/3, which floating point puts 2e-16 lower: the point on
    # it must still break the run of the seven points before it.
    high, middle, low = 8 / 3, 5 / 3, 2 / 3
    values: list[float | None] = [high] * 3 + [middle] + [high] * 3 + [low] * 6
    assert xmr_chart(values).mean != middle
    assert not any(RUN_ON_ONE_SIDE in cause for cause in causes(values))
