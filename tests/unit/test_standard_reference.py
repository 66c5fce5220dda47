"""Which strata a published reference has, and what goes into it."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.errors import PublicationError
from ops.publication.frozen_cells import Figures
from ops.publication.reference import (
    Counts,
    Mix,
    Reference,
    ReferenceStratum,
    joined_strata,
    new_references,
)

ORDER = ["young", "middle", "old", "rest"]
HALF, THROUGH = dt.date(2024, 1, 1), dt.datetime(2024, 7, 15)
EARLIER = dt.datetime(2024, 6, 1)


def mix(**counts: tuple[int, int]) -> Mix:
    return {code: Counts(*of) for code, of in counts.items()}


# The largest hospital has 20 returns in all, of 605 visits: a stratum needs 31 returns and 596
# visits without one. The young have 31 of 900. The middle ones have 12; with the old 32 of 905. The
# rest goes to the last.
THREE = [
    mix(young=(11, 300), middle=(5, 200), old=(3, 100), rest=(1, 5)),
    mix(young=(10, 300), middle=(4, 200), old=(6, 105)),
    mix(young=(10, 300), middle=(3, 200), old=(0, 100)),
    mix(old=(11, 11)),
]


def test_strata_are_joined_with_the_next_until_they_are_safe() -> None:
    assert joined_strata(ORDER, THREE) == (
        ReferenceStratum(("young",), 31, 900),
        ReferenceStratum(("middle", "old", "rest"), 33, 921),
    )


def four(*, young: int = 9, others: int = 11) -> list[Mix]:
    """The first hospital has 20 returns and 600 other visits in all, and no other has more.

    The young have 12 + 10 + 9 = 31 returns and 300 + 300 + 11 = 611 other visits, the old as many.
    """
    return [
        mix(young=(12, 312), old=(8, 308)),
        mix(young=(10, 310), old=(10, 310)),
        mix(young=(young, young + others), old=(11, 22)),
        mix(old=(2, 2)),
    ]


def test_each_stratum_holds_eleven_more_than_any_hospital_has_in_all() -> None:
    """20 + 11 and 600 + 11, wherever the largest one's are: to be shown says nothing of them."""
    assert len(joined_strata(["young", "old"], four())) == 2
    assert joined_strata(["young", "old"], four(young=8)) == ()
    assert joined_strata(["young", "old"], four(others=10)) == ()


def test_two_hospitals_are_no_reference() -> None:
    small = mix(young=(50, 500), old=(50, 500))
    assert joined_strata(["young", "old"], [small, small]) == ()
    assert len(joined_strata(["young", "old"], [small] * 3)) == 2


cell = st.integers(0, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
mixes = st.lists(
    st.fixed_dictionaries({code: cell.map(lambda of: Counts(*of)) for code in ORDER}),
    min_size=3,
    max_size=12,
)


@given(mixes)
def test_whatever_the_counts_each_stratum_leaves_eleven_to_everybody(found: list[Mix]) -> None:
    strata = joined_strata(ORDER, found)
    if not strata:
        return
    assert [code for of in strata for code in of.codes] == ORDER
    for of in strata:
        for own in found:
            returns = of.returns - sum(own[code].returns for code in of.codes)
            visits = of.visits - sum(own[code].visits for code in of.codes)
            assert returns >= 11
            assert visits - returns >= 11
    assert sum(of.returns for of in strata) == sum(c.returns for m in found for c in m.values())
    assert sum(of.visits for of in strata) == sum(c.visits for m in found for c in m.values())


def half(hospital: str, returns: int | None, visits: int | None) -> Figures:
    return Figures(hospital, HALF, "m", returns, visits, visits, None, THROUGH, "defined")


SHOWN = [half("a", 20, 605), half("b", 20, 605), half("c", 13, 600), half("d", 11, 11)]
MIXES = {((HALF, "m"), row.hospital_key): of for row, of in zip(SHOWN, THREE, strict=True)}


def references(
    shown: list[Figures], *, builds: list[Figures] = SHOWN, past: list[Figures] | None = None
) -> list[Reference]:
    return list(new_references(builds, shown, past or [], ORDER, MIXES))


def test_a_reference_adds_up_to_what_is_shown() -> None:
    (found,) = references(SHOWN)
    assert (found.period_on, found.measure_code, found.hospitals_count) == (HALF, "m", 4)
    assert sum(of.returns for of in found.strata) == 20 + 20 + 13 + 11
    assert sum(of.visits for of in found.strata) == 605 + 605 + 600 + 11


def test_a_half_year_that_was_shown_before_gets_no_reference_any_more() -> None:
    assert references(SHOWN, past=[half("z", None, None)]) == []


def test_hidden_half_years_and_sums_of_frozen_months_stay_out() -> None:
    """Without the third there are no strata; its own hold other visits than its frozen months."""
    for other in (
        half("c", None, 600),
        replace(SHOWN[2], numerator=12, data_through_at=EARLIER),
        # By chance the same counts: its time says that they are those of the frozen months.
        replace(SHOWN[2], data_through_at=EARLIER),
    ):
        assert references([*SHOWN[:2], other, SHOWN[3]]) == []


def test_strata_that_do_not_add_up_publish_nothing() -> None:
    wrong = [*SHOWN[:2], half("c", 12, 600)]
    with pytest.raises(PublicationError, match=r"strata of m at c .* do not add up"):
        references(wrong, builds=wrong)
