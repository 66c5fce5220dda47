"""What a report says of a quarter's chart reviews: counts of the hospital's own store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from chart_audit.files import store_path
from chart_audit.rules import STAGES, SUBMITTED
from chart_audit.store import Findings, opened_store
from governance.settings import Settings
from ops.publication.worklist import WORKLIST
from ops.reports.published import File
from ops.reports.quarters import Quarter

SENTINEL = "sentinel"


@dataclass(frozen=True)
class AuditFigures:
    """The reviews of a quarter's cases, as the store held them when the report was written.

    Attributes:
        listed_count: cases of the worklist, of which ``sentinel_count`` are sentinel returns.
        done_counts: listed cases with a submitted review, by stage.
        findings: what the reviews say.
    """

    listed_count: int
    sentinel_count: int
    done_counts: tuple[int, ...]
    findings: Findings


def read_audit(
    settings: Settings, own: File, hospital: str, quarter: Quarter
) -> AuditFigures | None:
    """Return what is reviewed of a quarter; None where this account may not read the store.

    Raises:
        ChartAuditError: the store is of another version, or open to others.
    """
    cases = own.rows(
        f"select index_visit_key, reason_code from own.{WORKLIST} where quarter_on = $1",
        [quarter.begins_on],
    )
    states: Mapping[str, Mapping[str, tuple[str, str]]] = {}
    findings = Findings()
    try:
        # A store is made when somebody reviews, not by a report.
        has_store = store_path(settings, hospital).exists()
    except PermissionError:
        return None
    if has_store:
        with opened_store(settings, hospital) as store:
            states = store.states()
            findings = store.findings(quarter.begins_on.isoformat())
    return AuditFigures(
        len(cases),
        sum(case["reason_code"] == SENTINEL for case in cases),
        tuple(
            sum(
                states.get(case["index_visit_key"], {}).get(stage, ("", ""))[1] == SUBMITTED
                for case in cases
            )
            for stage in STAGES
        ),
        findings,
    )
