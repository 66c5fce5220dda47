"""Who lives with whom: twins, mothers with newborns, and others who share a telephone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.draw import Bools, Draw, Ints

ALONE, TWIN, NEWBORN, SHARING = 0, 1, 2, 3
KINSHIP = (None, "twin", "newborn", "household")
_TWINS, _MOTHERS, _HOUSEHOLDS = 0.02, 0.15, 0.30
_MOTHERS_YEARS = (18, 45)
_NEWBORN_DAYS = 45


@dataclass(frozen=True)
class Kin:
    """Households of two: every second person may belong to the one before.

    Attributes:
        kinship: what a person is to the head of the household.
        head: the head; oneself for who lives alone.
    """

    kinship: Ints
    head: Ints

    @property
    def is_twin(self) -> Bools:
        """Whether a person is a twin, the head of the household included."""
        second: Bools = self.kinship == TWIN
        is_twin: Bools = second.copy()
        is_twin[self.head[second]] = True
        return is_twin


def plan_kin(draw: Draw, born: Ints, is_female: Bools, first_day: int) -> tuple[Kin, Ints]:
    """Draw households; return them with the birth dates that twins and newborns have."""
    ids = np.arange(len(born))
    head = np.where(ids % 2 == 1, ids - 1, ids)
    years = (first_day - born[head]) / 365.25
    may_be_mother = is_female[head] & (years > _MOTHERS_YEARS[0]) & (years < _MOTHERS_YEARS[1])
    share = draw.uniform("kinship", ids)
    kinship = np.where(share < _HOUSEHOLDS, SHARING, ALONE)
    kinship = np.where((share < _MOTHERS) & may_be_mother, NEWBORN, kinship)
    kinship = np.where(share < _TWINS, TWIN, kinship)
    kinship[head == ids] = ALONE
    head = np.where(kinship == ALONE, ids, head)
    born = np.where(kinship == TWIN, born[head], born)
    newborn = first_day - draw.between("newborn_days", ids, 1, _NEWBORN_DAYS)
    return Kin(kinship, head), np.where(kinship == NEWBORN, newborn, born)
