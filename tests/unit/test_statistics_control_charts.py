"""XmR and p-charts against published check values and cases worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.statistics.control_charts import (
    OUTSIDE_LIMITS,
    RUN_ON_ONE_SIDE,
    TREND,
    TWO_OF_THREE,
    p_chart,
    xmr_chart,
)


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


def test_point_on_the_mean_is_on_it_in_spite_of_rounding() -> None:
    # 8/3 and 2/3 about a mean of exactly 5/3, which floating point puts 2e-16 lower: the point on
    # it must still break the run of the seven points before it.
    high, middle, low = 8 / 3, 5 / 3, 2 / 3
    values: list[float | None] = [high] * 3 + [middle] + [high] * 3 + [low] * 6
    assert xmr_chart(values).mean != middle
    assert not any(RUN_ON_ONE_SIDE in cause for cause in causes(values))


# Montgomery DC, Introduction to Statistical Quality Control, p-chart of frozen orange juice:
# leaking cans in 30 samples of 50. Published: 347/1500 = 0.2313, limits 0.0524 and 0.4102, samples
# 15 and 23 above the upper limit.
LEAKING = [12, 15, 8, 10, 4, 7, 16, 9, 14, 10, 5, 6, 17, 12, 22]
LEAKING += [8, 10, 5, 13, 11, 20, 18, 24, 15, 9, 12, 7, 13, 9, 6]


def test_p_chart_of_a_published_example() -> None:
    chart = p_chart(LEAKING, [50] * 30)
    assert chart.mean == pytest.approx(0.2313, abs=5e-5)
    assert chart.lower == pytest.approx([0.0524] * 30, abs=5e-5)
    assert chart.upper == pytest.approx([0.4102] * 30, abs=5e-5)
    outside = [number for number, point in enumerate(chart.points, 1) if is_outside(point.causes)]
    assert outside == [15, 23]
    assert not chart.is_trial


def is_outside(found: tuple[str, ...]) -> bool:
    return OUTSIDE_LIMITS in found


def test_each_point_of_a_p_chart_has_limits_of_its_own_denominator() -> None:
    # Mean 1/2, so a standard error is 1 / (2 sqrt n): 0.05 of 100 visits, 0.025 of 400.
    chart = p_chart([50, 200, 1], [100, 400, 2])
    assert chart.mean == pytest.approx(0.5)
    # Of two visits the limits lie outside 0 and 1: 0.5 +- 3 * 0.35.
    assert chart.lower == pytest.approx((0.35, 0.425, 0.0))
    assert chart.upper == pytest.approx((0.65, 0.575, 1.0))
    # 235/400 lies outside its own limits; the same rate of 100 visits would not.
    rates = p_chart([235, 165, 58, 42], [400, 400, 100, 100])
    assert [is_outside(point.causes) for point in rates.points] == [True, True, False, False]
    assert [point.direction for point in rates.points] == ["high", "low", None, None]


def test_two_of_three_of_a_p_chart_lie_beyond_two_standard_errors() -> None:
    # Mean 1/2 of 100 visits: standard error 0.05, two of them reach 0.6 and three 0.65.
    near_limit = [61, 55, 62]
    mirrored = [100 - value for value in near_limit]
    found = p_chart([51, 49, *near_limit, 49, 51, *mirrored, 49, 51], [100] * 12)
    assert found.mean == pytest.approx(0.5)
    marked = [TWO_OF_THREE in point.causes for point in found.points]
    assert (
        marked
        == [False] * 2 + [True, False, True] + [False] * 2 + [True, False, True] + [False] * 2
    )
    assert not any(is_outside(point.causes) for point in found.points)
    # On the second standard error is not beyond it.
    on_it = p_chart([51, 49, 60, 55, 60, 49, 51, 40, 45, 40, 49, 51], [100] * 12)
    assert not any(TWO_OF_THREE in point.causes for point in on_it.points)


def test_runs_and_gaps_of_a_p_chart() -> None:
    run = p_chart([52, 53] * 3 + [52] + [48, 47] * 3 + [48], [100] * 14)
    assert all(RUN_ON_ONE_SIDE in point.causes for point in run.points)
    # A hidden count, a hidden denominator and a month without visits are gaps and break the run.
    for numerator, denominator in ((None, 100), (52, None), (0, 0)):
        numerators = [52, 53, 52, numerator, 53, 52, 53, *[48, 47] * 3]
        gap = p_chart(numerators, [100, 100, 100, denominator, *[100] * 9])
        assert gap.points[3].value is None
        assert (gap.lower[3], gap.upper[3]) == (None, None)
        assert not any(RUN_ON_ONE_SIDE in point.causes for point in gap.points[:7])


def test_a_p_chart_of_nothing_has_no_limits() -> None:
    assert p_chart([], []).mean is None
    empty = p_chart([None, 0], [100, 0])
    assert (empty.mean, empty.lower, empty.upper) == (None, (None, None), (None, None))


@pytest.mark.parametrize(
    ("numerators", "denominators"), [([1], [0]), ([2], [1]), ([-1], [5]), ([1, 2], [5])]
)
def test_p_chart_refuses_what_is_no_rate(numerators: list[int], denominators: list[int]) -> None:
    with pytest.raises(ValueError, match="A p-chart needs"):
        p_chart(numerators, denominators)
