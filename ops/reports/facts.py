"""The figures of one hospital's report, as numbers: everything that HTML and PDF show.

A hospital's own counts come from its own file and are whole; those of others from the network's,
where small ones are hidden. What is hidden there is null here, and in no sum.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from governance.errors import ReportError
from ops.publication.definitions import definition_changes, read_definitions
from ops.publication.derived import Cell, xmr_table
from ops.reports.audit import AuditFigures, read_audit
from ops.reports.peers import Peers, read_peers
from ops.reports.published import File, Row, Version
from ops.reports.quarters import Quarter, quarter_of
from ops.reports.wording import day

# As many months as a chart of half a page can be read with.
MONTHS_DRAWN = 36
DISPOSITIONS = ("admitted", "lwbs", "ama")
INTERVALS = ("length_of_stay", "arrival_to_triage", "triage_to_physician", "boarding")
URGENT = ("1", "2")
SHORT_LOOK_BACK = "look_back_short"
FREQUENT = ("04_to_09", "10_or_later")


@dataclass(frozen=True)
class Measure:
    """What a measure of ED returns counts, as its seed row says."""

    code: str
    name: str
    window_hours: int
    definition: str
    source: str
    is_verified: bool
    denominator_code: str


@dataclass(frozen=True)
class Counts:
    """A hospital's own counts of one measure and quarter.

    Attributes:
        months_count: months of the quarter with visits.
        not_followed: visits left out, because the data end before their window does.
    """

    numerator: int
    all_visits: int
    index_visits: int
    months_count: int
    not_followed: int

    def denominator(self, code: str) -> int:
        """Return one of the two denominators."""
        return self.all_visits if code == "all_visits" else self.index_visits


@dataclass(frozen=True)
class Present:
    """Patients in the ED, added up over readings at the full hours, and the most at one."""

    patients: int
    readings: int
    most: int


@dataclass(frozen=True)
class Flow:
    """A hospital's own visits of one month or quarter; times of a month only.

    A quarter's median cannot be made of its months': it has none here.

    Attributes:
        frequent: visits that are the person's fourth or later within 365 days; None where the data
            do not reach back far enough for all of them.
        present: patients in the ED at the full hours; None where no departure is known.
    """

    visits: int
    dispositions: tuple[int, ...]
    ambulance: int
    urgent: int
    frequent: int | None
    present: Present | None
    intervals: tuple[tuple[int, int] | None, ...] | None = None


@dataclass(frozen=True)
class Hospital:
    """Whose report it is."""

    key: str
    name: str
    peer_group_code: str


@dataclass(frozen=True)
class HospitalReport:
    """One hospital and quarter.

    Attributes:
        headline: counts of the headline measure: the quarter, the one before, a year before.
        others: counts of each other measure: the quarter, and the one before.
        months: XmR points of the headline measure to the end of the quarter.
        flow: of the quarter's months in order, None where there were no visits.
        flow_quarters: of the quarter, and of the one before.
        definition_changes: of the headline measure: the publication, and what changed.
        ratio: the standardised one of the newest half-year that began with the quarter or before;
            None where there is no reference.
    """

    hospital: Hospital
    quarter: Quarter
    version: Version
    measure: Measure
    headline: tuple[Counts | None, Counts | None, Counts | None]
    others: tuple[tuple[Measure, Counts | None, Counts | None], ...]
    months: tuple[Row, ...]
    peers: Peers
    flow: tuple[Flow | None, ...]
    flow_quarters: tuple[Flow | None, Flow | None]
    audit: AuditFigures
    definition_changes: tuple[tuple[dt.datetime, tuple[str, ...]], ...]
    ratio: Row | None


def read_hospitals(network: File) -> dict[str, Hospital]:
    """Return the network's hospitals by key, in its order."""
    return {
        row["hospital_key"]: Hospital(
            row["hospital_key"], row["hospital_name"], row["peer_group_code"]
        )
        for row in network.rows(
            "select hospital_key, hospital_name, peer_group_code from dim_hospitals order by all"
        )
    }


def read_measures(network: File) -> tuple[Measure, ...]:
    """Return the measures of ED returns, the headline first.

    Raises:
        ReportError: none is the headline.
    """
    rows = network.rows(
        "select * from measures order by is_headline desc, is_network_published desc, measure_code"
    )
    if not rows or not rows[0]["is_headline"]:
        raise ReportError("The published file names no headline measure: see ed_return_measures.")
    return tuple(
        Measure(
            row["measure_code"],
            row["measure_name"],
            row["window_hours"],
            row["definition"],
            row["source"],
            bool(row["verified"]),
            row["denominator_code"],
        )
        for row in rows
    )


def require_closed(network: File, quarter: Quarter, measure: Measure, version: Version) -> None:
    """Refuse a quarter that is not closed, or of which there are no data.

    Closed is what the network shows as closed: the months' returns have had time to come in.

    Raises:
        ReportError: it is not.
    """
    months = network.rows(
        "select distinct month_on, suppression_code is not distinct from 'open_period' as is_open "
        "from rpt_ed_returns_monthly where measure_code = $1 order by all",
        [measure.code],
    )
    if not months:
        raise ReportError("The published file has no month of ED returns: run `scutari publish`.")
    through = version.data_through_at
    first, last = (quarter_of(months[place]["month_on"]) for place in (0, -1))
    found = [row for row in months if row["month_on"] in quarter.months]
    is_open = any(row["is_open"] for row in found) or quarter.ends_before > through.date()
    if quarter < first or quarter > last or not (found or is_open):
        raise ReportError(
            f"There are no ED visits of {quarter}: the data run from {first} to {last} and are "
            f"complete to {day(through)}."
        )
    if is_open:
        raise ReportError(
            f"{quarter} is not closed: the data are complete to {day(through)}, and a quarter "
            "is reported when its last month is shown, some days after its end; the last one that "
            f"can be reported is {_last_closed(months)}."
        )


def _last_closed(months: Sequence[Row]) -> Quarter:
    open_months = [row["month_on"] for row in months if row["is_open"]]
    return (
        quarter_of(min(open_months)).before if open_months else quarter_of(months[-1]["month_on"])
    )


def gather(
    own: File,
    network: File,
    *,
    hospital: Hospital,
    hospitals: Sequence[Hospital],
    quarter: Quarter,
    measures: Sequence[Measure],
    version: Version,
) -> HospitalReport:
    """Return the figures of one hospital and quarter.

    Raises:
        ReportError: the hospital had no ED visit in the quarter.
    """
    headline, *others = measures
    counts = _Counted(own)
    of_quarter = counts.of(headline, quarter)
    if of_quarter is None:
        raise ReportError(f"Hospital {hospital.key} has no ED visits in {quarter}: no report.")
    flows = _Flows(own)
    return HospitalReport(
        hospital=hospital,
        quarter=quarter,
        version=version,
        measure=headline,
        headline=(
            of_quarter,
            counts.of(headline, quarter.before),
            counts.of(headline, quarter.year_before),
        ),
        others=tuple(
            (measure, counts.of(measure, quarter), counts.of(measure, quarter.before))
            for measure in others
        ),
        months=_xmr(counts.cells, headline, quarter),
        peers=read_peers(
            own,
            network,
            hospital=hospital,
            hospitals=hospitals,
            quarter=quarter,
            measure=headline,
        ),
        flow=tuple(flows.of([month]) for month in quarter.months),
        flow_quarters=(flows.of(quarter.months), flows.of(quarter.before.months)),
        audit=read_audit(own, quarter),
        definition_changes=definition_changes(read_definitions(network.rows, headline.code)),
        ratio=_ratio(own, headline, quarter),
    )


def _ratio(own: File, measure: Measure, quarter: Quarter) -> Row | None:
    if not own.rows(
        "select 1 from duckdb_tables() where table_name = 'rpt_ed_standardised_ratios'"
    ):
        return None  # Published by a version that drew up none.
    found = own.rows(
        "select * from own.rpt_ed_standardised_ratios where measure_code = $1 "
        "and period_on <= $2 and ratio is not null order by period_on desc limit 1",
        [measure.code, quarter.begins_on],
    )
    return found[0] if found else None


class _Counted:
    """A hospital's own monthly counts of every measure."""

    def __init__(self, own: File) -> None:
        self.cells = [
            Cell(**row)
            for row in own.rows(
                "select hospital_key, month_on as period_on, measure_code, "
                "numerator_count as numerator, index_visits_count as index_visits, "
                "all_visits_count as all_visits from own.rpt_ed_returns_monthly order by all"
            )
        ]
        # All visits, followed or not: every dimension of the mix adds up to them.
        self._visits: dict[dt.date, int] = {
            row["month_on"]: row["visits_count"]
            for row in own.rows(
                "select month_on, cast(sum(visits_count) as bigint) as visits_count "
                "from own.rpt_ed_visit_mix_monthly where dimension_code = 'acuity' group by all"
            )
        }

    def of(self, measure: Measure, quarter: Quarter) -> Counts | None:
        cells = [
            cell
            for cell in self.cells
            if cell.measure_code == measure.code and cell.period_on in quarter.months
        ]
        if not any(cell.all_visits for cell in cells):
            return None
        all_visits = sum(cell.all_visits or 0 for cell in cells)
        visits = sum(self._visits.get(month, 0) for month in quarter.months)
        return Counts(
            sum(cell.numerator or 0 for cell in cells),
            all_visits,
            sum(cell.index_visits or 0 for cell in cells),
            sum(1 for cell in cells if cell.all_visits),
            max(0, visits - all_visits),
        )


def _xmr(cells: Sequence[Cell], measure: Measure, quarter: Quarter) -> tuple[Row, ...]:
    """Draw up the chart as it stood at the end of the quarter: later months move no limit of it."""
    until = [
        cell
        for cell in cells
        if cell.measure_code == measure.code and cell.period_on < quarter.ends_before
    ]
    rows = xmr_table(until[-MONTHS_DRAWN:], with_network=False).to_pylist()
    return tuple(row for row in rows if row["denominator_code"] == measure.denominator_code)


class _Flows:
    """A hospital's own visits by month, and how long they took."""

    def __init__(self, own: File) -> None:
        self._mix: dict[tuple[dt.date, str, str], int] = {
            (row["month_on"], row["dimension_code"], row["value_code"]): row["visits_count"]
            for row in own.rows("select * from own.rpt_ed_visit_mix_monthly")
        }
        self._times: dict[tuple[dt.date, str], tuple[int, int]] = {
            (row["month_on"], row["interval_code"]): (row["median_minutes"], row["p90_minutes"])
            for row in own.rows(
                "select * from own.rpt_ed_intervals_monthly "
                "where disposition_code = 'all' and median_minutes is not null"
            )
        }

        self._census = own.rows("select * from own.rpt_ed_census_monthly")

    def of(self, months: Sequence[dt.date]) -> Flow | None:
        visits = self._sum(months, "acuity")
        if not visits:
            return None
        is_month = len(months) == 1
        return Flow(
            visits,
            tuple(self._sum(months, "disposition", code) for code in DISPOSITIONS),
            self._sum(months, "arrival_mode", "ambulance"),
            sum(self._sum(months, "acuity", code) for code in URGENT),
            self._frequent(months),
            self._present(months),
            tuple(self._times.get((months[0], code)) for code in INTERVALS) if is_month else None,
        )

    def _frequent(self, months: Sequence[dt.date]) -> int | None:
        if not self._sum(months, "attendance") or self._sum(months, "attendance", SHORT_LOOK_BACK):
            return None
        return sum(self._sum(months, "attendance", code) for code in FREQUENT)

    def _present(self, months: Sequence[dt.date]) -> Present | None:
        rows = [row for row in self._census if row["month_on"] in months]
        if not rows:
            return None
        return Present(
            sum(row["patients_count"] for row in rows),
            sum(row["readings_count"] for row in rows),
            max(row["most_patients_count"] for row in rows),
        )

    def _sum(self, months: Sequence[dt.date], dimension: str, value: str | None = None) -> int:
        return sum(
            count
            for (month, of_dimension, of_value), count in self._mix.items()
            if month in months and of_dimension == dimension and value in (None, of_value)
        )
