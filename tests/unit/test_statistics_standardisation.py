"""Indirect standardisation: tables worked by hand, and what must hold of any table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.statistics.standardisation import reference_rates, standardised_ratio

# Network: under 65 10 of 1000, over 65 30 of 500. Overall 40 of 1500.
RATES = reference_rates([10, 30], [1000, 500])


def test_ratio_of_a_hospital_worked_by_hand() -> None:
    # 200 * 0.01 + 100 * 0.06 = 8 expected; 12 seen: 1.5. Rate 1.5 * 40/1500 = 0.04.
    found = standardised_ratio(12, [200, 100], RATES, overall_rate=40 / 1500)
    assert found is not None
    assert (found.observed, found.expected) == (12, pytest.approx(8.0))
    assert found.ratio == pytest.approx(1.5)
    assert found.rate == pytest.approx(0.04)
    # Garwood's limits of 12 are 6.201 and 20.962.
    assert (found.lower, found.upper) == pytest.approx((6.201 / 8, 20.962 / 8), rel=2e-3)


def test_an_old_mix_explains_a_high_rate() -> None:
    # 7 of 150 is nearly twice the network's rate; with 120 of 150 over 65, 7.5 are expected.
    found = standardised_ratio(7, [30, 120], RATES, overall_rate=40 / 1500)
    assert found is not None
    assert found.ratio == pytest.approx(7 / 7.5)


def test_no_return_has_a_ratio_of_zero_and_an_upper_limit() -> None:
    found = standardised_ratio(0, [200, 100], RATES, overall_rate=40 / 1500)
    assert found is not None
    assert (found.ratio, found.lower) == (0.0, 0.0)
    assert found.upper == pytest.approx(3.688879 / 8, rel=1e-5)


def test_nothing_expected_has_no_ratio() -> None:
    assert standardised_ratio(0, [5, 0], [0.0, 0.1], overall_rate=0.05) is None
    assert standardised_ratio(0, [0, 0], RATES, overall_rate=0.05) is None


def test_a_stratum_without_reference_is_refused_only_where_there_are_visits() -> None:
    rates = reference_rates([10, 0], [1000, 0])
    assert rates == [0.01, None]
    found = standardised_ratio(1, [100, 0], rates, overall_rate=0.01)
    assert found is not None
    assert found.ratio == pytest.approx(1.0)
    with pytest.raises(ValueError, match="no reference rate"):
        standardised_ratio(1, [100, 1], rates, overall_rate=0.01)


CELLS = st.integers(0, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
HOSPITALS = st.integers(1, 5).flatmap(
    lambda strata: st.lists(
        st.lists(CELLS, min_size=strata, max_size=strata), min_size=1, max_size=6
    )
)


@given(HOSPITALS)
def test_expected_events_of_all_hospitals_are_those_observed(
    hospitals: list[list[tuple[int, int]]],
) -> None:
    strata = list(zip(*hospitals, strict=True))
    events = [sum(r for r, _ in cells) for cells in strata]
    visits = [sum(n for _, n in cells) for cells in strata]
    rates = reference_rates(events, visits)
    overall = sum(events) / sum(visits) if sum(visits) else 0.0
    found = [
        standardised_ratio(
            sum(r for r, _ in cells), [n for _, n in cells], rates, overall_rate=overall
        )
        for cells in hospitals
    ]
    assert sum(one.expected for one in found if one) == pytest.approx(sum(events))
    whole = standardised_ratio(sum(events), visits, rates, overall_rate=overall)
    if whole is not None:
        assert (whole.ratio, whole.rate) == pytest.approx((1.0, overall))


@pytest.mark.parametrize(
    ("observed", "denominators"), [(-1, [5, 5]), (11, [5, 5]), (0, [-1, 5]), (0, [5])]
)
def test_standardisation_refuses_what_is_no_table(observed: int, denominators: list[int]) -> None:
    with pytest.raises(ValueError, match="A standardised ratio needs"):
        standardised_ratio(observed, denominators, RATES, overall_rate=0.1)


@pytest.mark.parametrize(("numerators", "denominators"), [([2], [1]), ([-1], [5]), ([1, 2], [5])])
def test_a_reference_refuses_what_is_no_rate(
    numerators: list[int], denominators: list[int]
) -> None:
    with pytest.raises(ValueError, match="A reference needs"):
        reference_rates(numerators, denominators)
