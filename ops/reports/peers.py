"""A hospital among others: the funnel of one half-year, and what its peer group shows.

Points of other hospitals are those of the network's file, where small counts are hidden, and so are
limits and pooled rates. Only the hospital's own point comes from its own file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ops.reports.published import File, Row
from ops.reports.quarters import Quarter

if TYPE_CHECKING:
    from ops.reports.facts import Hospital, Measure

_POINTS = (
    "select points.*, hospitals.hospital_name from {schema}.rpt_ed_returns_funnel as points "
    "inner join dim_hospitals as hospitals using (hospital_key) "
    "where measure_code = $1 and denominator_code = $2 and period_on = $3 "
    "order by hospital_name, hospital_key"
)


@dataclass(frozen=True)
class Group:
    """The other hospitals of a peer group, as far as they are shown.

    Attributes:
        shown: their rows.
        hospitals_count: how many there are.
    """

    shown: tuple[Row, ...]
    hospitals_count: int


@dataclass(frozen=True)
class Peers:
    """One funnel; no period where no half-year is shown yet.

    Attributes:
        own: the hospital's own row; None where it had no visits in the half-year.
        others: rows of the other hospitals that are shown.
        hidden_count: other hospitals that are not.
        group: the others of its peer group.
    """

    period_on: dt.date | None
    own: Row | None
    others: tuple[Row, ...]
    limits: tuple[Row, ...]
    hidden_count: int
    group: Group


def read_peers(
    own: File,
    network: File,
    *,
    hospital: Hospital,
    hospitals: Sequence[Hospital],
    quarter: Quarter,
    measure: Measure,
) -> Peers:
    """Return the funnel of the newest half-year that is shown and began with the quarter or before.

    It is the quarter's own half-year, once that is closed.
    """
    key = [measure.code, measure.denominator_code]
    periods = network.rows(
        "select max(period_on) as period_on from rpt_ed_returns_funnel "
        "where measure_code = $1 and denominator_code = $2 and period_on <= $3",
        [*key, quarter.begins_on],
    )
    period = periods[0]["period_on"]
    if period is None:
        others: tuple[Row, ...] = ()
        return Peers(None, None, others, (), len(hospitals) - 1, _group((), hospital, hospitals))
    shown = network.rows(_POINTS.format(schema="main"), [*key, period])
    others = tuple(row for row in shown if row["hospital_key"] != hospital.key)
    mine = own.rows(_POINTS.format(schema="own"), [*key, period])
    limits = network.rows(
        "select * from rpt_ed_returns_funnel_limits where measure_code = $1 "
        "and denominator_code = $2 and period_on = $3 order by denominator_count",
        [*key, period],
    )
    return Peers(
        period_on=period,
        own=mine[0] if mine else None,
        others=others,
        limits=tuple(limits),
        hidden_count=len(hospitals) - 1 - len(others),
        group=_group(others, hospital, hospitals),
    )


def _group(others: Sequence[Row], hospital: Hospital, hospitals: Sequence[Hospital]) -> Group:
    keys = {
        peer.key
        for peer in hospitals
        if peer.peer_group_code == hospital.peer_group_code and peer.key != hospital.key
    }
    return Group(tuple(row for row in others if row["hospital_key"] in keys), len(keys))
