"""Intervals of rates and counts against published values and cases worked by hand."""

from __future__ import annotations

import pytest
from scipy.stats import chi2

from ops.statistics.intervals import Z_95, poisson_limits, wilson_interval


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


@pytest.mark.parametrize(
    ("count", "lower", "upper"),
    [(0, 0.0, 3.689), (1, 0.0253, 5.572), (5, 1.623, 11.668), (9, 4.115, 17.085)],
)
def test_exact_poisson_limits_of_the_published_table(
    count: int, lower: float, upper: float
) -> None:
    # Garwood 1936, doi 10.1093/biomet/28.3-4.437: 95 % limits of a Poisson count.
    assert poisson_limits(count) == pytest.approx((lower, upper), abs=6e-4)


def test_no_event_has_the_rule_of_three_worked_by_hand() -> None:
    # exp(-mean) = 0.025: mean = ln 40.
    assert poisson_limits(0)[1] == pytest.approx(3.688879, abs=1e-5)


@pytest.mark.parametrize("count", [0, 1, 4, 9, 10, 11, 33, 250])
def test_poisson_limits_agree_with_the_chi_square_form(count: int) -> None:
    lower = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    upper = chi2.ppf(0.975, 2 * count + 2) / 2
    tolerance = 1e-6 if count < 10 else 2e-3
    assert poisson_limits(count) == pytest.approx((lower, upper), rel=tolerance)


def test_byar_worked_by_hand() -> None:
    # 15 below: 15 (1 - 1/135 - 1.959964 / (3 * 3.872983))^3 = 15 * 0.823906^3 = 8.3893;
    # 16 above: 16 (1 - 1/144 + 1.959964 / 12)^3 = 16 * 1.156386^3 = 24.7419.
    assert poisson_limits(15) == pytest.approx((8.3893, 24.7419), abs=1e-3)


def test_poisson_limits_refuse_a_negative_count() -> None:
    with pytest.raises(ValueError, match="zero or more"):
        poisson_limits(-1)
