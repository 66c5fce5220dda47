"""What a report says of chart reviews: a quarter's own counts, and the network's half-year."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from chart_audit.codes import ISSUE
from ops.publication.worklist import WORKLIST
from ops.reports.published import File
from ops.reports.quarters import Quarter


@dataclass(frozen=True)
class NetworkFindings:
    """What the whole network found in a half-year of first reviews; hidden counts are None.

    Attributes:
        period_on: its first day.
        causes: name of each underlying cause that was found, and in how many cases; the most
            frequent first, hidden ones last.
    """

    period_on: dt.date
    reviewed_count: int | None
    issue_count: int | None
    causes: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True)
class AuditFigures:
    """The reviews of a quarter's cases, as far as they had been handed over before the snapshot.

    Attributes:
        listed_count: cases of the worklist, of which ``sentinel_count`` are sentinel returns.
        reviewed_count: reviewed cases; of them ``reviewed_twice_count`` by two reviewers, and
            ``issue_count`` with an adverse event or quality issue.
        causes: name of each underlying cause that was found, and in how many cases; the most
            frequent first.
        network: the half-year in which most of these cases were due; if that is not shown yet, the
            last one before it.
    """

    listed_count: int
    sentinel_count: int
    reviewed_count: int
    reviewed_twice_count: int
    issue_count: int
    causes: tuple[tuple[str, int], ...]
    network: NetworkFindings | None


def read_audit(own: File, quarter: Quarter) -> AuditFigures:
    """Return what is listed, reviewed and found of a quarter."""
    begins_on = [quarter.begins_on]
    (cases,) = own.rows(
        "select count(*) as listed, count(*) filter (reason_code = 'sentinel') as sentinel "
        f"from own.{WORKLIST} where quarter_on = $1",
        begins_on,
    )
    found = own.rows("from own.rpt_ed_audits_quarterly where quarter_on = $1", begins_on)
    reviews = found[0] if found else {}
    causes = own.rows(
        "select theme_name, theme_count from own.rpt_ed_audit_themes "
        "where quarter_on = $1 and theme_count > 0 order by theme_count desc, sort_number",
        begins_on,
    )
    return AuditFigures(
        cases["listed"],
        cases["sentinel"],
        reviews.get("reviewed_count", 0),
        reviews.get("reviewed_twice_count", 0),
        reviews.get("issue_count", 0),
        tuple((row["theme_name"], row["theme_count"]) for row in causes),
        _read_network(own, quarter),
    )


def _read_network(own: File, quarter: Quarter) -> NetworkFindings | None:
    # A quarter's cases are listed after it has ended.
    rows = own.rows(
        "select * from main.rpt_ed_audits_network where period_on = (select max(period_on) "
        "from main.rpt_ed_audits_network where period_on <= $1) "
        "order by found_count desc nulls last, sort_number",
        [quarter.ends_before],
    )
    if not rows:
        return None
    (issue,) = (row for row in rows if row["finding_code"] == ISSUE)
    return NetworkFindings(
        issue["period_on"],
        issue["of_count"],
        issue["found_count"],
        tuple(
            (row["finding_name"], row["found_count"])
            for row in rows
            if row["finding_code"] != ISSUE and row["found_count"] != 0
        ),
    )
