"""A second implementation of the standardised ratio, from single index visits and by fractions.

Written from the definition (docs/adr/0038), never from the publication's code: every index visit
expects its stratum's share of returns, and expected is the sum over visits.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple


class Visit(NamedTuple):
    """One index visit: where, in which stratum, and whether a return counts."""

    hospital: str
    stratum: str
    is_returned: bool


def observed_and_expected(
    visits: Iterable[Visit], hospital: str, members: set[str], joined: list[set[str]]
) -> tuple[int, Fraction]:
    """Count one hospital's returns, and what the members' visits lead one to expect.

    Args:
        visits: of all hospitals.
        hospital: whose ratio it is.
        members: the hospitals of the reference.
        joined: the strata of the reference, each as the declared strata that it is made of.
    """
    everything = list(visits)
    expected = Fraction(0)
    for group in joined:
        alike = [v for v in everything if v.hospital in members and v.stratum in group]
        share = Fraction(sum(v.is_returned for v in alike), len(alike))
        own = [v for v in everything if v.hospital == hospital and v.stratum in group]
        for _ in own:
            expected += share
    return sum(v.is_returned for v in everything if v.hospital == hospital), expected
