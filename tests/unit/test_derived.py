"""Tables drawn up at publication: what is hidden takes no part in them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ops.publication.derived import Cell, funnel_tables, own_funnel_table, xmr_table
from ops.statistics.funnel import fit_funnel
from ops.statistics.intervals import Z_95

JAN, FEB, MAR = (dt.date(2024, month, 1) for month in (1, 2, 3))


def cell(hospital: str, month: dt.date, numerator: int | None, visits: int | None = 1000) -> Cell:
    index = None if visits is None else visits - visits // 5
    return Cell(hospital, month, "m", numerator, index, visits)


def network_rows(cells: list[Cell]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = xmr_table(cells, with_network=True).to_pylist()
    return [
        row
        for row in rows
        if row["series_code"] == "network" and row["denominator_code"] == "all_visits"
    ]


def test_network_series_adds_up_only_hospitals_shown_in_every_closed_month() -> None:
    cells = [
        *(cell("whole", month, number) for month, number in ((JAN, 20), (FEB, 30), (MAR, None))),
        *(cell("gap", month, number) for month, number in ((JAN, 40), (FEB, None), (MAR, 50))),
        *(cell("also", month, number) for month, number in ((JAN, 15), (FEB, 0), (MAR, 12))),
    ]
    # All three months are closed (their visits are shown): only "also" has every one of them.
    rows = network_rows(cells)
    assert [row["numerator_count"] for row in rows] == [15, 0, 12]
    assert [row["denominator_count"] for row in rows] == [1000, 1000, 1000]
    assert {row["hospitals_count"] for row in rows} == {1}


def test_open_month_does_not_empty_the_network_series() -> None:
    cells = [
        *(cell("a", month, number) for month, number in ((JAN, 20), (FEB, 30))),
        *(cell("b", month, number) for month, number in ((JAN, 11), (FEB, 12))),
        *(cell(hospital, MAR, None, None) for hospital in ("a", "b")),
    ]
    rows = network_rows(cells)
    assert [row["numerator_count"] for row in rows] == [31, 42, None]
    assert [row["rate"] for row in rows] == [0.0155, 0.021, None]


def test_network_without_a_whole_hospital_has_no_figure() -> None:
    rows = network_rows([cell("a", JAN, None), cell("a", FEB, 20), cell("b", JAN, 20)])
    assert [row["rate"] for row in rows] == [None, None]
    assert {row["mean_rate"] for row in rows} == {None}


def test_a_series_with_a_hidden_month_has_points_and_no_mean() -> None:
    # The months of 1 to 10 are the ones that are missing: 0.0375 would be above every truth.
    cells = [cell("a", JAN, 20), cell("a", FEB, None), cell("a", MAR, 40)]
    rows = xmr_table(cells, with_network=False).to_pylist()
    assert {row["series_code"] for row in rows} == {"hospital"}
    shown = [row for row in rows if row["denominator_code"] == "index_visits"]
    assert [row["rate"] for row in shown] == [0.025, None, 0.05]
    hidden = ("mean_rate", "upper_limit", "lower_limit", "special_cause_codes")
    for name in (*hidden, "p_lower_limit", "p_upper_limit", "p_special_cause_codes"):
        assert {row[name] for row in shown} == {None}


def test_each_month_has_p_limits_of_its_own_visits() -> None:
    # 20/100 and 80/400: mean 0.2, standard errors 0.04 and 0.02.
    cells = [cell("a", JAN, 20, 100), cell("a", FEB, 80, 400)]
    rows = xmr_table(cells, with_network=False).to_pylist()
    shown = [row for row in rows if row["denominator_code"] == "all_visits"]
    assert [row["p_lower_limit"] for row in shown] == pytest.approx([0.08, 0.14])
    assert [row["p_upper_limit"] for row in shown] == pytest.approx([0.32, 0.26])
    assert {row["p_special_cause_codes"] for row in shown} == {None}
    # 45/100 and 55/400: the mean is the same, both lie outside.
    moved = [cell("a", JAN, 45, 100), cell("a", FEB, 55, 400)]
    rows = xmr_table(moved, with_network=False).to_pylist()
    shown = [row for row in rows if row["denominator_code"] == "all_visits"]
    assert [row["p_special_cause_codes"] for row in shown] == ["outside_limits"] * 2


def test_an_open_month_is_no_hidden_one() -> None:
    cells = [cell("a", JAN, 20), cell("a", FEB, 40), cell("a", MAR, None, None)]
    rows = xmr_table(cells, with_network=False).to_pylist()
    shown = [row for row in rows if row["denominator_code"] == "index_visits"]
    assert [row["mean_rate"] for row in shown] == pytest.approx([0.0375] * 3)


def test_hospitals_without_a_return_of_a_rare_measure_are_not_the_network() -> None:
    cells = [cell("none", month, 0) for month in (JAN, FEB)]
    assert [row["rate"] for row in network_rows(cells)] == [0.0, 0.0]
    rare = [*cells, cell("some", JAN, None), cell("some", FEB, 0)]
    assert [row["rate"] for row in network_rows(rare)] == [None, None]


def test_lower_limit_of_a_rate_is_not_below_zero() -> None:
    # Rates 0.002 and 0.040: mean 0.021, moving range 0.038, limits 0.021 -+ 0.101.
    rows = xmr_table([cell("a", JAN, 2), cell("a", FEB, 40)], with_network=False).to_pylist()
    row = rows[0]
    assert row["lower_limit"] == 0.0
    assert row["upper_limit"] == pytest.approx(0.021 + 2.66 * 0.038)
    assert row["is_trial"]


def test_month_without_visits_is_a_gap() -> None:
    rows = xmr_table([cell("a", JAN, 0, 0), cell("a", FEB, 12)], with_network=False).to_pylist()
    assert [row["rate"] for row in rows if row["denominator_code"] == "all_visits"] == [None, 0.012]


FUNNEL = [
    cell("a", JAN, 12, 1200),
    cell("b", JAN, 30, 2000),
    cell("c", JAN, 9, 1500),
    cell("d", JAN, None, 900),
]


def test_funnel_is_fitted_to_the_hospitals_that_are_shown() -> None:
    points, limits = funnel_tables(FUNNEL)
    rows = [row for row in points.to_pylist() if row["denominator_code"] == "all_visits"]
    assert [row["hospital_key"] for row in rows] == ["a", "b", "c"]
    fit = fit_funnel([12, 30, 9], [1200, 2000, 1500])
    assert fit is not None
    assert {row["tau2"] for row in rows} == {fit.tau2}
    assert {row["hospitals_count"] for row in rows} == {3}
    assert (rows[1]["lower_95"], rows[1]["upper_95"]) == fit.limits(2000, Z_95)
    curve = [row for row in limits.to_pylist() if row["denominator_code"] == "all_visits"]
    grid = [row["denominator_count"] for row in curve]
    assert grid == sorted(set(grid))
    assert grid[0] < 1200
    assert grid[-1] > 2000


def test_own_hospital_is_placed_in_the_funnel_of_the_others_without_moving_it() -> None:
    own = own_funnel_table([cell("d", JAN, 7, 900)], FUNNEL).to_pylist()
    row = next(row for row in own if row["denominator_code"] == "all_visits")
    fit = fit_funnel([12, 30, 9], [1200, 2000, 1500])
    assert fit is not None
    assert (row["numerator_count"], row["tau2"], row["centre_rate"]) == (7, fit.tau2, fit.centre)
    assert row["hospitals_count"] == 3


def test_rates_are_shrunk_by_the_hospitals_that_are_shown() -> None:
    # Moments of 12/1200, 30/2000 and 9/1500, mean 51/4700: sum of n (p - mean)^2 is 0.0705958,
    # over mean (1 - mean) = 0.0107333: 6.57726, 2 of it chance.
    # Room 4700 - 7,690,000/4700 - 2 = 3061.83: correlation 4.57726 / 3061.83 = 0.00149494.
    rows = funnel_tables(FUNNEL)[0].to_pylist()
    shown = [row for row in rows if row["denominator_code"] == "all_visits"]
    spread = 1 / 0.00149494 - 1
    for row in shown:
        n = row["denominator_count"]
        assert row["own_weight"] == pytest.approx(n / (n + spread), rel=1e-4)
        shrunk = (row["numerator_count"] + spread * 51 / 4700) / (n + spread)
        assert row["shrunk_rate"] == pytest.approx(shrunk, rel=1e-4)
    own = own_funnel_table([cell("d", JAN, 7, 900)], FUNNEL).to_pylist()
    row = next(row for row in own if row["denominator_code"] == "all_visits")
    assert row["shrunk_rate"] == pytest.approx((7 + spread * 51 / 4700) / (900 + spread), rel=1e-4)


def test_a_rate_is_not_shrunk_to_hospitals_without_a_return() -> None:
    rows = funnel_tables([cell("a", JAN, 0), cell("b", JAN, 0)])[0].to_pylist()
    assert {row["shrunk_rate"] for row in rows} == {None}


def test_own_hospital_without_a_funnel_keeps_its_figures() -> None:
    own = own_funnel_table([cell("d", FEB, 7, 900)], FUNNEL).to_pylist()
    assert {row["numerator_count"] for row in own} == {7}
    assert {row["position_code"] for row in own} == {None}
    assert {row["upper_95"] for row in own} == {None}


def test_nothing_shown_is_no_funnel() -> None:
    points, limits = funnel_tables([cell("a", JAN, None), cell("b", JAN, None)])
    assert (points.num_rows, limits.num_rows) == (0, 0)
