"""What a report says, in words and figures as they are printed: the one text of HTML and PDF.

Nothing is counted or rounded after this module: both templates only place what is here.
"""

from __future__ import annotations

from dataclasses import dataclass

from ops.charts import special_causes
from ops.reports import pictures
from ops.reports.definitions import definitions
from ops.reports.facts import Counts, HospitalReport
from ops.reports.peers import Peers
from ops.reports.sections import audit_words, flow_table, measures_note, measures_table
from ops.reports.wording import (
    DENOMINATORS,
    NONE,
    Table,
    count,
    day,
    half_year,
    interval,
    listed,
    many,
    month,
    peer_group,
    percent,
    rate,
)

# Limits that are fitted to one or two hospitals say nothing.
FEWEST_IN_FUNNEL = 3
POSITIONS = {
    "within": "within both limits",
    "above_95": "above the 95 % limit",
    "above_998": "above the 99.8 % limit",
    "below_95": "below the 95 % limit",
    "below_998": "below the 99.8 % limit",
}


@dataclass(frozen=True)
class Figure:
    """A chart, what it shows in words, and the table that holds its figures."""

    title: str
    svg: str
    description: str
    words: str
    table: Table


@dataclass(frozen=True)
class Section:
    """A heading with sentences; tables have a caption of their own."""

    title: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """The report as it is printed.

    Attributes:
        funnel: None where no funnel can be shown; ``peers`` says why.
    """

    title: str
    hospital: str
    subtitle: str
    banner: str
    lead: str
    headline: Table
    notes: tuple[str, ...]
    months: Figure
    funnel: Figure | None
    peers: Section
    flow: Table
    flow_note: str
    measures: Table
    measures_note: str
    audit: Section
    definitions: tuple[tuple[str, str], ...]
    as_of: str


def lay_out(report: HospitalReport) -> Page:
    """Write a report's figures out."""
    version = report.version
    return Page(
        title=f"ED return visits, {report.quarter.words}",
        hospital=report.hospital.name,
        subtitle=f"{peer_group(report.hospital.peer_group_code)} · {report.hospital.key} · "
        f"{report.quarter}",
        banner="Synthetic data. These patients, hospitals and figures are made up."
        if version.is_synthetic
        else "",
        lead=_lead(report),
        headline=_headline(report),
        notes=tuple(_notes(report)),
        months=_months(report),
        funnel=_funnel(report),
        peers=Section("Among other hospitals", (*_peers(report), *_ratio(report))),
        flow=flow_table(report),
        flow_note="Minutes: median, and 90th percentile in brackets, of each month. A quarter's "
        f"median cannot be made of its months. {NONE}: not known, or the data do not reach back.",
        measures=measures_table(report),
        measures_note=measures_note(report),
        audit=Section("Chart audit", audit_words(report.audit)),
        definitions=definitions(report.measure),
        as_of=f"Data complete to {day(version.data_through_at)} "
        f"{version.data_through_at:%H:%M} UTC · snapshot {version.snapshot_id} · own figures are "
        "whole: keep this page in the hospital",
    )


def _lead(report: HospitalReport) -> str:
    found, code = report.headline[0], report.measure.denominator_code
    assert found is not None, "a quarter without visits has no report"
    whole = found.denominator(code)
    return (
        f"{_capital(report.measure.name)}: {count(found.numerator)} of {count(whole)} "
        f"{DENOMINATORS[code]}, {rate(found.numerator, whole)}."
    )


def _headline(report: HospitalReport) -> Table:
    quarters = (report.quarter, report.quarter.before, report.quarter.year_before)
    heads = [
        str(quarter)
        if found is None or found.months_count == len(quarter.months)
        else f"{quarter} ({found.months_count} of {len(quarter.months)} months)"
        for quarter, found in zip(quarters, report.headline, strict=True)
    ]
    rows = [("Returns", *(_cell(found, "numerator") for found in report.headline))]
    for code, name in DENOMINATORS.items():
        rows.append((_capital(name), *(_cell(found, code) for found in report.headline)))
        rows.append(
            (
                f"Returns per 100 {name}",
                *(
                    NONE if found is None else rate(found.numerator, found.denominator(code))
                    for found in report.headline
                ),
            )
        )
        rows.append(
            (
                f"95\N{NO-BREAK SPACE}% interval ({name})",
                *(
                    NONE if found is None else interval(found.numerator, found.denominator(code))
                    for found in report.headline
                ),
            )
        )
    caption = f"{_capital(report.measure.name)}: own counts, whole"
    return Table(caption, ("", *heads), tuple(rows))


def _cell(found: Counts | None, name: str) -> str:
    if found is None:
        return NONE
    return count(found.numerator if name == "numerator" else found.denominator(name))


def _notes(report: HospitalReport) -> list[str]:
    found = report.headline[0]
    assert found is not None, "a quarter without visits has no report"
    notes = []
    empty = [
        month(begins)
        for begins, flow in zip(report.quarter.months, report.flow, strict=True)
        if flow is None
    ]
    if empty:
        notes.append(f"No ED visits in these data in {listed(empty)}.")
    if found.not_followed:
        notes.append(
            f"Follow-up is not complete: {many(found.not_followed, 'visit')} not followed for "
            f"{report.measure.window_hours} hours to the end of the data, and left out."
        )
    if any(counts is None for counts in report.headline):
        notes.append(f"{NONE}: no visits in these data.")
    notes += [
        f"Counted otherwise since the publication of {day(published_at)}: {'; '.join(words)}. "
        "Every figure of this page is counted as defined today."
        for published_at, words in report.definition_changes[-1:]
    ]
    return notes


def _months(report: HospitalReport) -> Figure:
    name = DENOMINATORS[report.measure.denominator_code]
    points = report.months
    causes = [
        f"{month(point['month_on'])}: {special_causes(point['special_cause_codes'])}"
        for point in points
        if point["special_cause_codes"]
    ]
    mean = points[0]["mean_rate"]
    words = f"{many(len(points), 'month')} to the end of the quarter."
    if mean is not None:
        lower, upper = points[0]["lower_limit"], points[0]["upper_limit"]
        words += f" Mean {percent(mean)} (solid grey)"
        if lower is not None:
            words += f", usual variation {percent(lower)} to {percent(upper)} (dashed)"
        words += "."
    if points[0]["is_trial"]:
        words += " Fewer than 12 months: trial limits."
    words += f" Special causes: {'; '.join(causes)}." if causes else " No special cause."
    rows = tuple(
        (
            month(point["month_on"]),
            count(point["numerator_count"]),
            count(point["denominator_count"]),
            NONE if point["rate"] is None else percent(point["rate"]),
            special_causes(point["special_cause_codes"]) or NONE,
        )
        for point in points
    )
    return Figure(
        "Month by month",
        pictures.xmr(points, denominator_name=name),
        f"XmR chart of own returns per {name} by month. {words}",
        words,
        Table(
            "Own returns by month",
            ("Month", "Returns", _capital(name), "Rate", "Special cause"),
            rows,
        ),
    )


def _funnel(report: HospitalReport) -> Figure | None:
    peers = report.peers
    if peers.period_on is None or not _is_funnel(peers):
        return None
    name = DENOMINATORS[report.measure.denominator_code]
    # The own point is drawn last, over the others.
    rows = [dict(row, is_own=False) for row in peers.others]
    rows += [dict(peers.own, is_own=True)] if peers.own else []
    period = half_year(peers.period_on)
    by_name = sorted(rows, key=lambda row: (str(row["hospital_name"]), str(row["hospital_key"])))
    return Figure(
        f"Hospitals compared, {period}",
        pictures.funnel(rows, peers.limits, denominator_name=name),
        f"Funnel plot of returns by hospital, {period}. {' '.join(_peers(report))}",
        f"Limits of 95 and 99.8 %, widened for over-dispersion. {_shown(peers)} A point outside "
        "is a reason to look, not a verdict.",
        Table(
            f"Hospitals that are shown, {period}",
            ("Hospital", "Returns", _capital(name), "Rate", "In the funnel"),
            tuple(
                (
                    f"{row['hospital_name']} (own)" if row["is_own"] else row["hospital_name"],
                    count(row["numerator_count"]),
                    count(row["denominator_count"]),
                    percent(row["rate"]),
                    POSITIONS.get(row["position_code"] or "", NONE),
                )
                for row in by_name
            ),
        ),
    )


def _peers(report: HospitalReport) -> tuple[str, ...]:
    peers = report.peers
    if peers.period_on is None:
        return (
            "No half-year up to this quarter is closed and can be shown: there is no comparison "
            "with other hospitals.",
        )
    name = DENOMINATORS[report.measure.denominator_code]
    period = half_year(peers.period_on)
    if not _is_funnel(peers):
        return (
            f"{period}: fewer than {FEWEST_IN_FUNNEL} hospitals can be shown without small "
            "counts, and limits fitted to them would say nothing: there is no funnel.",
        )
    words = []
    own = peers.own
    if own is None:
        words.append(f"{period}: this hospital has no visits.")
    else:
        numerator, whole = own["numerator_count"], own["denominator_count"]
        words.append(
            f"{period}: {count(numerator)} of {count(whole)} {name}, {rate(numerator, whole)} "
            f"({interval(numerator, whole)}), {POSITIONS.get(own['position_code'] or '', NONE)}."
        )
    words.append(f"Pooled rate of the hospitals shown: {percent(peers.limits[0]['centre_rate'])}.")
    words.append(_group(peers, peer_group(report.hospital.peer_group_code)))
    return tuple(words)


def _ratio(report: HospitalReport) -> tuple[str, ...]:
    row = report.ratio
    if row is None:
        return ()
    return (
        f"On its own mix of age and acuity, {half_year(row['period_on'])}: "
        f"{count(row['observed_count'])} returns observed, {row['expected']:,.1f} expected at the "
        f"network's rates, ratio {row['ratio']:.2f} ({row['lower_limit']:.2f} to "
        f"{row['upper_limit']:.2f}). Ratios of two hospitals are not to be ranked.",
    )


def _group(peers: Peers, name: str) -> str:
    """Say what the peer group has: in common only where none of it is hidden.

    The hidden ones count fewer; a mean of those that are left would be too high.
    """
    shown, others = peers.group.shown, peers.group.hospitals_count
    if not others:
        return f"Peers ({name}): no other hospital."
    if not shown:
        return f"Peers ({name}): none of {many(others, 'other')} can be shown."
    if len(shown) == others:
        numerator = sum(row["numerator_count"] for row in shown)
        whole = sum(row["denominator_count"] for row in shown)
        return f"Peers ({name}): {rate(numerator, whole)} in {many(others, 'other')} together."
    rates = [row["rate"] for row in shown]
    span = percent(rates[0])
    if len(shown) > 1:
        span = f"{percent(min(rates))} to {percent(max(rates))}"
    return (
        f"Peers ({name}): {span} in the {count(len(shown))} of {many(others, 'other')} that can be "
        "shown; without the others there is no common rate."
    )


def _is_funnel(peers: Peers) -> bool:
    return bool(peers.limits) and _fitted_count(peers) >= FEWEST_IN_FUNNEL


def _fitted_count(peers: Peers) -> int:
    rows = (*peers.others, *([peers.own] if peers.own else []))
    return max((row["hospitals_count"] or 0 for row in rows), default=0)


def _shown(peers: Peers) -> str:
    if not peers.hidden_count:
        return "All other hospitals are shown."
    return f"Not shown, small or derivable counts: {many(peers.hidden_count, 'hospital')}."


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
