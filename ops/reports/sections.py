"""Companion measures, the other measures of returns, and the chart audit, as a report says them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ops.reports.audit import AuditFigures, NetworkFindings
from ops.reports.facts import DISPOSITIONS, INTERVALS, Counts, Flow, HospitalReport
from ops.reports.wording import (
    DENOMINATORS,
    NONE,
    Table,
    count,
    half_year,
    interval,
    many,
    month,
    rate,
)

_DISPOSITION_NAMES = {
    "admitted": "Admitted",
    "lwbs": "Left without being seen",
    "ama": "Left against advice",
}
_INTERVAL_NAMES = {
    "length_of_stay": "Length of stay, minutes",
    "arrival_to_triage": "Arrival to triage, minutes",
    "triage_to_physician": "Triage to physician, minutes",
    "boarding": "Boarding of the admitted, minutes",
}
_MARK = "\N{DAGGER}"


def flow_table(report: HospitalReport) -> Table:
    """Return the companion measures: the quarter's months, the quarter, and the one before."""
    flows = (*report.flow, *report.flow_quarters)
    heads = [month(begins) for begins in report.quarter.months]
    heads += [str(report.quarter), str(report.quarter.before)]

    rows = [_row("ED visits", flows, lambda flow: count(flow.visits))]
    rows += [
        _row(name, flows, _share_of_disposition(place))
        for place, name in enumerate(_DISPOSITION_NAMES[code] for code in DISPOSITIONS)
    ]
    rows += [
        _row("Arrived by ambulance", flows, lambda flow: _share(flow, flow.ambulance)),
        _row("Acuity 1 or 2", flows, lambda flow: _share(flow, flow.urgent)),
        _row("Person's fourth visit or later in 365 days", flows, _frequent),
        _row("Patients in the ED: mean (most)", flows, _present),
    ]
    rows += [
        _row(name, flows, _median_and_p90(place))
        for place, name in enumerate(_INTERVAL_NAMES[code] for code in INTERVALS)
    ]
    return Table("Companion measures: own visits", ("", *heads), tuple(rows))


def _row(name: str, flows: Sequence[Flow | None], cell: Callable[[Flow], str]) -> tuple[str, ...]:
    return (name, *(NONE if flow is None else cell(flow) for flow in flows))


def _share(flow: Flow, part: int) -> str:
    return f"{count(part)} ({100 * part / flow.visits:.1f}\N{NO-BREAK SPACE}%)"


def _share_of_disposition(place: int) -> Callable[[Flow], str]:
    return lambda flow: _share(flow, flow.dispositions[place])


def _frequent(flow: Flow) -> str:
    return NONE if flow.frequent is None else _share(flow, flow.frequent)


def _present(flow: Flow) -> str:
    found = flow.present
    return NONE if found is None else f"{found.patients / found.readings:.1f} ({count(found.most)})"


def _median_and_p90(place: int) -> Callable[[Flow], str]:
    def cell(flow: Flow) -> str:
        found = None if flow.intervals is None else flow.intervals[place]
        return NONE if found is None else f"{count(found[0])} ({count(found[1])})"

    return cell


def measures_table(report: HospitalReport) -> Table:
    """Return the own counts of every measure but the headline."""
    rows = []
    for measure, found, before in report.others:
        code = measure.denominator_code
        name = measure.name + (f" {_MARK}" if found is not None and found.not_followed else "")
        if found is None:
            rows.append((name, NONE, NONE, NONE, NONE, _numerator(before)))
            continue
        whole = found.denominator(code)
        rows.append(
            (
                name,
                count(found.numerator),
                f"{count(whole)} {DENOMINATORS[code]}",
                rate(found.numerator, whole),
                interval(found.numerator, whole),
                _numerator(before),
            )
        )
    return Table(
        "Other measures of ED returns: own counts, whole",
        (
            "",
            "Returns",
            "of",
            "Rate",
            "95\N{NO-BREAK SPACE}% interval",
            f"Returns {report.quarter.before}",
        ),
        tuple(rows),
    )


def measures_note(report: HospitalReport) -> str:
    """Say of which measures the follow-up is not complete; nothing where of none."""
    left = {
        measure.window_hours: found.not_followed
        for measure, found, _ in report.others
        if found is not None and found.not_followed
    }
    if not left:
        return ""
    parts = [
        f"{many(visits, 'visit')} not followed for {count(hours)} hours to the end of the data"
        for hours, visits in sorted(left.items())
    ]
    return f"{_MARK} Follow-up is not complete: {'; '.join(parts)}, and left out."


def _numerator(found: Counts | None) -> str:
    return NONE if found is None else count(found.numerator)


def audit_words(found: AuditFigures) -> tuple[str, ...]:
    """Say what was listed and reviewed, and what the reviews found."""
    if not found.listed_count and not found.reviewed_count:
        return ("No case of this quarter is listed for review.", *_network_words(found.network))
    words = [
        f"{many(found.listed_count, 'case')} listed, {count(found.sentinel_count)} of them "
        f"sentinel returns; {count(found.reviewed_count)} reviewed, "
        f"{count(found.reviewed_twice_count)} of them by two reviewers."
    ]
    if found.reviewed_count:
        words.append(
            f"An adverse event or quality issue in {count(found.issue_count)} of "
            f"{many(found.reviewed_count, 'reviewed case')} "
            f"({rate(found.issue_count, found.reviewed_count)})."
        )
    if found.causes:
        named = "; ".join(f"{name} {count(cases)}" for name, cases in found.causes)
        words.append(f"Underlying causes (a case can have several): {named}.")
    words.append("Reviews as they were handed over before the snapshot.")
    return (*words, *_network_words(found.network))


def _network_words(found: NetworkFindings | None) -> tuple[str, ...]:
    if found is None:
        return ("Of the network's reviews no half-year is closed yet.",)
    head = f"The whole network, cases first reviewed in {half_year(found.period_on)}"
    if found.reviewed_count is None:
        return (f"{head}: not shown, small or derivable counts.",)
    reviewed = many(found.reviewed_count, "reviewed case")
    if found.issue_count is None:
        return (f"{head}: {reviewed}; how many had an issue is small or derivable.",)
    words = (
        f"{head}: an adverse event or quality issue in {count(found.issue_count)} of {reviewed} "
        f"({rate(found.issue_count, found.reviewed_count)})"
    )
    shown = [f"{name} {count(cases)}" for name, cases in found.causes if cases is not None]
    hidden = len(found.causes) - len(shown)
    words += f"; underlying causes: {', '.join(shown)}." if shown else "."
    if hidden:
        words += f" Not shown, small or derivable counts: {many(hidden, 'cause')}."
    return (words,)
