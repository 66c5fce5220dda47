"""What is shown of a closed period when the counts behind it change."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.publication.frozen_cells import FROZEN, OPEN, Figures, Shown, freeze

JANUARY, FEBRUARY, HALF = (dt.date(2024, month, 1) for month in (1, 2, 1))
FIRST, SECOND = dt.datetime(2024, 8, 1), dt.datetime(2025, 2, 1)
Counts = tuple[int | None, int | None, int | None]


def row(period: dt.date, counts: Counts, measure: str = "a", **changes: object) -> Figures:
    return replace(
        Figures("x", period, measure, *counts, None, FIRST, "definition"),
        **changes,  # type: ignore[arg-type]
    )


def published(rows: list[Figures]) -> list[Figures]:
    return [replace(of, published_at=FIRST) for of in rows]


def publish_again(
    months: list[Figures],
    halves: list[Figures],
    past_months: list[Figures],
    past_halves: list[Figures],
    *,
    may_revise: bool = True,
) -> Shown:
    return freeze(
        months,
        halves,
        published(past_months),
        published(past_halves),
        may_revise=may_revise,
    )


def counts_of(rows: list[Figures]) -> list[Counts]:
    ordered = sorted(rows, key=lambda of: (of.period_on, of.measure_code))
    return [of.counts for of in ordered]


def test_a_closed_month_stays_as_it_was_first_shown() -> None:
    shown = publish_again(
        [row(JANUARY, (130, 500, 600))], [], [row(JANUARY, (100, 400, 500))], [], may_revise=False
    )
    assert counts_of(shown.months) == [(100, 400, 500)]
    assert shown.new_months == []


@pytest.mark.parametrize(
    ("after", "is_taken"),
    [
        ((111, 411, 511), True),  # each is 11 more
        ((100, 400, 511), True),
        ((101, 411, 511), False),  # one more return
        ((111, 415, 511), False),  # 11 and 15 more: 4 visits without a return
        ((110, 410, 510), False),
        ((89, 389, 489), True),
        ((None, 411, 511), False),  # a count that is hidden now would show that it shrank
    ],
)
def test_figures_are_revised_where_no_change_is_small(after: Counts, is_taken: bool) -> None:
    shown = publish_again([row(JANUARY, after)], [], [row(JANUARY, (100, 400, 500))], [])
    assert counts_of(shown.months) == [after if is_taken else (100, 400, 500)]
    assert len(shown.new_months) == int(is_taken)


def test_a_change_is_held_against_every_version_that_was_shown() -> None:
    """100, then 120, then 101: the first and the last differ by one."""
    first, second = row(JANUARY, (100, 400, 500)), row(JANUARY, (120, 420, 520))
    past = [*published([first]), replace(second, published_at=SECOND)]
    new = row(JANUARY, (101, 401, 501))
    assert counts_of(freeze([new], [], past, [], may_revise=True).months) == [(120, 420, 520)]
    new = row(JANUARY, (140, 440, 540))
    assert counts_of(freeze([new], [], past, [], may_revise=True).months) == [(140, 440, 540)]


def test_two_measures_must_not_change_by_nearly_the_same() -> None:
    """20 more returns, 23 more of the wider measure: 3 that are not in the narrower one."""
    past = [row(JANUARY, (100, 400, 500)), row(JANUARY, (200, 400, 500), "b")]
    new = [row(JANUARY, (120, 400, 500)), row(JANUARY, (223, 400, 500), "b")]
    assert counts_of(publish_again(new, [], past, []).months) == counts_of(past)
    new[1] = row(JANUARY, (240, 400, 500), "b")
    assert counts_of(publish_again(new, [], past, []).months) == counts_of(new)


def test_months_and_half_year_are_revised_together_or_not_at_all() -> None:
    past = [row(JANUARY, (100, 400, 500)), row(FEBRUARY, (200, 600, 700))]
    past_half = [row(HALF, (300, 1000, 1200))]
    new = [row(JANUARY, (120, 400, 500)), row(FEBRUARY, (203, 600, 700))]
    shown = publish_again(new, [row(HALF, (323, 1000, 1200))], past, past_half)
    assert counts_of(shown.months) == counts_of(past)
    assert counts_of(shown.half_years) == counts_of(past_half)
    new[1] = past[1]
    shown = publish_again(new, [row(HALF, (320, 1000, 1200))], past, past_half)
    assert counts_of(shown.months) == counts_of(new)
    assert counts_of(shown.half_years) == [(320, 1000, 1200)]


def test_what_a_half_year_holds_beside_its_shown_months_does_not_change() -> None:
    """January is 20 more and the half-year 32: hidden February would be 12 more."""
    past = [row(JANUARY, (100, 400, 500)), row(FEBRUARY, (None, 600, 700))]
    past_half = [row(HALF, (112, 1000, 1200))]
    new = [row(JANUARY, (120, 400, 500)), past[1]]
    shown = publish_again(new, [row(HALF, (144, 1000, 1200))], past, past_half)
    assert counts_of(shown.half_years) == [(112, 1000, 1200)]
    shown = publish_again(new, [row(HALF, (132, 1000, 1200))], past, past_half)
    assert counts_of(shown.half_years) == [(132, 1000, 1200)]


def test_the_first_half_year_over_months_that_changed_is_the_sum_of_what_is_shown() -> None:
    past = [row(JANUARY, (100, 400, 500)), row(FEBRUARY, (200, 600, 700))]
    new = [row(JANUARY, (103, 400, 500)), row(FEBRUARY, (200, 600, 700))]
    shown = publish_again(new, [row(HALF, (303, 1000, 1200))], past, [])
    assert counts_of(shown.half_years) == [(300, 1000, 1200)]
    # With a hidden month the sum would be that month: it is hidden, and stays so.
    past[1] = row(FEBRUARY, (None, 600, 700))
    shown = publish_again(new, [row(HALF, (303, 1000, 1200))], past, [])
    assert counts_of(shown.half_years) == [(None, None, None)]
    assert shown.half_years[0].suppression_code == FROZEN


def test_a_new_measure_is_not_counted_anew_for_closed_months() -> None:
    """It has the denominators of others: 403 beside a frozen 400 shows three late visits."""
    past = [row(JANUARY, (100, 400, 500))]
    new = [row(JANUARY, (101, 403, 503)), row(JANUARY, (50, 403, 503), "b")]
    shown = publish_again(new, [], past, [])
    assert counts_of(shown.months) == [(100, 400, 500), (None, None, None)]
    # Where the figures stand there is nothing to see, and it is shown with the next revision.
    new = [past[0], row(JANUARY, (50, 400, 500), "b")]
    assert counts_of(publish_again(new, [], past, [], may_revise=False).months)[1] == (None,) * 3
    assert counts_of(publish_again(new, [], past, []).months) == counts_of(new)


def test_a_measure_that_counts_something_else_now_starts_a_new_series() -> None:
    past = [row(JANUARY, (100, 400, 500))]
    new = [row(JANUARY, (120, 420, 520), definition="another")]
    shown = publish_again(new, [], past, [])
    assert counts_of(shown.months) == [(None, None, None)]
    assert shown.months[0].suppression_code == FROZEN


def test_an_older_snapshot_shows_no_month_that_is_open_in_it() -> None:
    new = [row(JANUARY, (None, None, None), suppression_code=OPEN)]
    shown = publish_again(new, [], [row(JANUARY, (100, 400, 500))], [])
    assert counts_of(shown.months) == [(None, None, None)]
    assert shown.new_months == []


count = st.one_of(st.none(), st.integers(0, 60))
figures = st.lists(st.tuples(count, count, count), min_size=4, max_size=4)


@given(figures, figures, st.booleans())
def test_no_change_of_a_figure_or_of_a_difference_is_ever_small(
    before: list[Counts], after: list[Counts], may_revise: bool
) -> None:
    places = [(month, code) for month in (JANUARY, FEBRUARY) for code in ("a", "b")]
    old = [row(month, of, code) for (month, code), of in zip(places, before, strict=True)]
    new = [row(month, of, code) for (month, code), of in zip(places, after, strict=True)]
    shown = publish_again(new, [], old, [], may_revise=may_revise).months
    assert counts_of(shown) in (counts_of(old), counts_of(new))
    for month in (JANUARY, FEBRUARY):
        pairs = [
            (x, y)
            for one, other in zip(counts_of(old), counts_of(shown), strict=True)
            for x, y in zip(one, other, strict=True)
        ]
        at = 0 if month == JANUARY else 6
        changes = [y - x for x, y in pairs[at : at + 6] if x is not None and y is not None]
        assert all((x is None) == (y is None) for x, y in pairs)
        for change in changes:
            assert change == 0 or abs(change) >= 11
            assert all(change == other or abs(change - other) >= 11 for other in changes)
