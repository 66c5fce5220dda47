"""Time-to-return curves of a hospital's own file, from counts to shares."""

from __future__ import annotations

import datetime as dt

import pytest

from ops.publication.curves import Day, curves_table

JAN = dt.date(2024, 1, 1)
JUL = dt.date(2024, 7, 1)
# Ten visits: on day 1 one is admitted, one comes back otherwise, one dies. Two of the seven are
# lost. On day 2 one of five comes back, still open.
DAYS = [Day(JAN, 1, 10, 1, 1, 0, 1), Day(JAN, 2, 5, 0, 0, 1, 0), Day(JAN, 3, 0, 0, 0, 0, 0)]


def test_curve_worked_by_hand() -> None:
    rows = curves_table(DAYS).to_pylist()
    assert [row["day_number"] for row in rows] == [1, 2]
    first, second = rows
    assert first["admitted_share"] == pytest.approx(0.1)
    assert first["any_share"] == pytest.approx(0.2)
    # 7/10 wait after day 1, and a fifth of those followed comes back: an open return is a return.
    assert second["any_share"] == pytest.approx(0.34)
    assert (second["admitted_share"], second["died_share"]) == pytest.approx((0.1, 0.1))
    assert second["waiting_share"] == pytest.approx(0.56)
    assert second["any_lower"] < 0.34 < second["any_upper"]


def test_half_years_have_curves_of_their_own_whatever_the_order() -> None:
    later = [Day(JUL, 2, 8, 0, 0, 0, 0), Day(JUL, 1, 8, 0, 0, 0, 0)]
    rows = curves_table([*later, *reversed(DAYS)]).to_pylist()
    assert [(row["period_on"], row["day_number"]) for row in rows] == [
        (JAN, 1), (JAN, 2), (JUL, 1), (JUL, 2)
    ]  # fmt: skip
    # Nobody came back: a share of nought has no limits.
    assert (rows[-1]["any_share"], rows[-1]["any_lower"]) == (0.0, None)


def test_no_days_are_no_curve() -> None:
    assert curves_table([]).num_rows == 0
    assert curves_table([Day(JAN, 1, 0, 0, 0, 0, 0)]).num_rows == 0
