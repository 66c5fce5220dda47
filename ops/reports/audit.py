"""What a report says of a quarter's chart reviews: counts of the hospital's own published file."""

from __future__ import annotations

from dataclasses import dataclass

from ops.publication.worklist import WORKLIST
from ops.reports.published import File
from ops.reports.quarters import Quarter


@dataclass(frozen=True)
class AuditFigures:
    """The reviews of a quarter's cases, as far as they had been handed over before the snapshot.

    Attributes:
        listed_count: cases of the worklist, of which ``sentinel_count`` are sentinel returns.
        reviewed_count: reviewed cases; of them ``reviewed_twice_count`` by two reviewers, and
            ``issue_count`` with an adverse event or quality issue.
        causes: name of each underlying cause that was found, and in how many cases; the most
            frequent first.
    """

    listed_count: int
    sentinel_count: int
    reviewed_count: int
    reviewed_twice_count: int
    issue_count: int
    causes: tuple[tuple[str, int], ...]


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
    )
