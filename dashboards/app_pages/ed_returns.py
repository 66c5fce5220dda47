"""ED return visits: by month (XmR), between hospitals (funnel), and how the count comes about."""

from __future__ import annotations

from html import escape

import streamlit as st

from dashboards import page, queries, standardised, tables
from dashboards.findings import network_findings
from dashboards.queries import NETWORK, Row, View
from ops import charts
from ops.publication.definitions import definition_changes

DENOMINATORS = {"all_visits": "ED visits", "index_visits": "index visits"}
DENOMINATOR_TEXTS = {
    "all_visits": "ED visits (all, every leg of a transfer)",
    "index_visits": "Index visits (as the measure defines them)",
}
POSITIONS = {
    "within": "within both limits",
    "above_95": "above 95 %",
    "above_998": "above 99.8 %",
    "below_95": "below 95 %",
    "below_998": "below 99.8 %",
}


def render() -> None:
    """Draw the page."""
    view = page.open_page("ED return visits")
    measure, denominator = _choose(view)
    _definitions(view, measure)
    _months(view, measure["measure_code"], denominator)
    if measure["is_network_published"]:
        _hospitals(view, measure["measure_code"], denominator)
    else:
        page.note("Each hospital sees its own counts of this measure; hospitals are not compared.")
    if measure["is_headline"]:
        standardised.draw(view, measure["measure_code"])
    _time_to_return(view)
    _attrition(view)
    st.header("What chart reviews found")
    network_findings(view)


def _choose(view: View) -> tuple[Row, str]:
    measures = {row["measure_code"]: row for row in queries.measures(view)}
    left, right = st.columns(2)
    with left:
        code = st.selectbox(
            "Measure", list(measures), format_func=lambda key: str(measures[key]["measure_name"])
        )
    preferred = measures[code]["denominator_code"]
    with right:
        denominator = st.selectbox(
            "Rate per",
            list(DENOMINATORS),
            index=list(DENOMINATORS).index(preferred),
            format_func=DENOMINATOR_TEXTS.__getitem__,
        )
    return measures[code], denominator


def _definitions(view: View, measure: Row) -> None:
    with st.popover("Definitions"):
        st.markdown(f"**{measure['measure_name']}**")
        st.write(measure["definition"])
        checked = "read in" if measure["verified"] else "not verified against"
        oldest, youngest = measure["maximum_age_years"], measure["minimum_age_years"]
        age = "" if youngest is None else f" Youngest age counted: {youngest} years."
        age += "" if oldest is None else f" Oldest age counted: {oldest} years."
        st.write(
            f"Window: {measure['window_hours']} hours from departure, in elapsed time.{age} "
            f"Definition {checked} a published source: {measure['source']}."
        )
        st.write(
            "**Numerator**: index visits with such a return, counted for the hospital that sent "
            "the patient home, in the month of the index arrival.  \n"
            "**All visits**: ED visits after joining double registrations, every leg of a "
            "transfer, left-without-being-seen included.  \n"
            f"**Index visits**: {_index_visits(measure)}  \n"
            f"{_follow_up(measure)}"
        )
        st.write(
            "**Hidden**: a count of 1 to 10, or one that could be worked out from others. Zero is "
            "shown. A month or half-year is shown ten days after its end. **XmR chart**: mean and "
            "limits of 2.66 mean moving ranges. **p-chart**: limits of three standard errors of "
            "each month's own visits, which hold chance alone. **Funnel**: limits of 95 and 99.8 % "
            "widened for over-dispersion (Spiegelhalter 2005), fitted to the hospitals shown. "
            "**Shrunk rate**: the rate drawn towards the hospitals' common mean, the more so the "
            "fewer visits it stands on (beta-binomial model, fitted to the hospitals shown)."
        )


def _index_visits(measure: Row) -> str:
    # A published file of an earlier version has measures without these rules.
    known = ", with a known outcome" if measure.get("requires_known_outcome", True) else ""
    if measure.get("pairing_code") == "after_attendance":
        words = f"every unplanned visit of a known person{known}, however it ended."
    else:
        words = f"unplanned stays that ended in discharge home, of a known person{known}."
    index, returns = (measure.get(f"{end}_exclusion_group_code") for end in ("index", "return"))
    if index:
        words += f" Left out: those with a main diagnosis of the group {index}."
    if returns:
        words += f" Not counted: returns with a main diagnosis of the group {returns}."
    return words


def _follow_up(measure: Row) -> str:
    if measure.get("requires_complete_follow_up", True):
        return "All three hold only visits followed for the whole window."
    return (
        "All three hold every visit, followed for the whole window or not: returns of the last "
        "months are still coming in."
    )


def _months(view: View, measure: str, denominator: str) -> None:
    st.header("Month by month")
    series = queries.xmr_series(view, measure, denominator)
    chosen = _choose_series(view, series) if view.is_network else view.scope
    points = series.get(chosen, [])
    changed = queries.revisions(view, chosen, measure)
    _definition_changes(view, measure)
    if not _has_points(points):
        st.info(_why_empty(view, chosen, changed))
        if not changed:
            return
    rows = _month_rows(view, measure, chosen, points)
    if _is_whole(points):
        st.html(tables.figures(_figures(rows)))
    elif _has_points(points):
        st.info(
            "Months that count 1 to 10 returns are hidden here. Totals, a mean and limits of the "
            "months that are left would mislead, so there are none; the hospital has them in its "
            "own figures."
        )
    page.chart(
        charts.xmr(
            points,
            denominator_name=DENOMINATORS[denominator],
            denominator=denominator,
            changes=changed,
        )
    )
    if view.is_network:
        page.note(
            "A month's figures stay as they were first shown. Late corrections are taken up once "
            "each half-year, and only where old and new figures do not show a small count between "
            "them; a hospital's own figures are always the newest."
        )
    _say_what_the_chart_shows(chosen, points)
    page.table_under_chart(
        "Returns by month",
        [
            tables.month("Month", "month_on"),
            tables.count("Returns (numerator)", "numerator_count"),
            tables.count("All visits", "all_visits"),
            tables.count("Index visits", "index_visits"),
            tables.percent(f"Rate per {DENOMINATORS[denominator]}", "rate"),
            tables.text("Special cause", "cause"),
            tables.percent("p-chart lower", "p_lower_limit"),
            tables.percent("p-chart upper", "p_upper_limit"),
        ],
        rows,
    )
    _changed(view, chosen, changed)


def _definition_changes(view: View, measure: str) -> None:
    """Say of each change of the definition which rule changed, from what to what."""
    for published_at, words in definition_changes(queries.definitions(view, measure)):
        page.note(
            f"Counted otherwise since the publication of {published_at:%d %b %Y}: "
            f"{'; '.join(words)}. "
            + (
                "What was published before is another series: it stands here as it was first "
                "published, and is in no mean, limit or comparison."
                if view.is_network
                else "All months of your own figures are counted as the measure is defined today."
            )
        )


def _changed(view: View, series: str, rows: list[Row]) -> None:
    if not rows:
        return
    otherwise = sum(1 for row in rows if row["is_new_series"])
    parts = [f"{_many(len(rows), 'month')} with figures that are not those first published."]
    if len(rows) > otherwise:
        parts.append("Dotted line: late data were taken up.")
    if otherwise:
        parts.append("Shaded: published by another definition.")
    if series == NETWORK:
        page.note(" ".join([*parts, "Choose a hospital to see both figures."]))
        return
    parts.append("Diamond: the figure as first published.")
    if not view.is_network:
        parts.append("The network shows what it published.")
    page.note(" ".join(parts))
    page.table_under_chart(
        "Months whose figures have changed: first published, and now",
        [
            tables.month("Month", "month_on"),
            tables.text("What changed", "change"),
            *(
                tables.count(f"{name}, {words}", f"{which}_{code}_count", f"is_{which}_hidden")
                for code, name in (
                    ("numerator", "Returns"),
                    ("all_visits", "All visits"),
                    ("index_visits", "Index visits"),
                )
                for which, words in (("first", "first"), ("now", "now"))
            ),
        ],
        [row | {"is_first_hidden": True, "is_now_hidden": True} for row in rows],
    )


def _choose_series(view: View, series: dict[str, list[Row]]) -> str:
    names = {row["hospital_key"]: row["hospital_name"] for row in queries.hospitals(view)}
    options = [key for key in (NETWORK, *names) if key in series]
    # Open with a chart, not with an empty frame, where small counts hide the network's.
    drawn = sorted(
        (key for key in options if _has_points(series[key])),
        key=lambda key: not _is_whole(series[key]),
    )
    left, _ = st.columns(2)
    with left:
        chosen: str = st.selectbox(
            "Hospital",
            options,
            index=options.index(drawn[0]) if drawn else 0,
            format_func=lambda key: _series_name(key, names),
        )
    return chosen


def _month_rows(view: View, measure: str, series: str, points: list[Row]) -> list[Row]:
    reasons = queries.suppression(view, measure)
    visits = {
        code: {
            row["month_on"]: row["denominator_count"]
            for row in queries.xmr_series(view, measure, code).get(series, [])
        }
        for code in DENOMINATORS
    }
    rows = []
    for point in points:
        month = point["month_on"]
        reason = reasons.get((series, month))
        if series == NETWORK and point["rate"] is None:
            reason = "open_period"
        cause = charts.special_causes(point["special_cause_codes"]) or None
        row = point | {"is_suppressed": reason is not None, "cause": cause}
        if reason == "open_period":
            row["cause"] = "month not closed yet"
        if reason == "frozen_period":
            row["cause"] = "published before this definition"
        rows.append(row | {code: of_month.get(month) for code, of_month in visits.items()})
    return rows


def _figures(rows: list[Row]) -> list[tuple[str, str]]:
    shown = [row for row in rows if row["rate"] is not None]
    returns = sum(row["numerator_count"] for row in shown)
    all_visits = sum(row["all_visits"] for row in shown)
    index_visits = sum(row["index_visits"] or 0 for row in shown)
    return [
        ("Returns (numerator)", f"{returns:,}"),
        ("All ED visits", f"{all_visits:,}"),
        ("Index visits", f"{index_visits:,}"),
        ("Returns per 100 ED visits", f"{100 * returns / all_visits:.2f}"),
        ("per 100 index visits", f"{100 * returns / index_visits:.2f}" if index_visits else "none"),
    ]


def _is_whole(points: list[Row]) -> bool:
    """Tell whether no closed month is hidden: only then is there a mean."""
    return any(point["mean_rate"] is not None for point in points)


def _has_points(points: list[Row]) -> bool:
    return any(point["rate"] is not None for point in points)


def _series_name(key: str, names: dict[str, str]) -> str:
    return "Network: hospitals shown in every month" if key == NETWORK else str(names[key])


def _why_empty(view: View, series: str, changed: list[Row]) -> str:
    if not view.is_network:
        return "This hospital has no ED visits in these data."
    if any(row["is_new_series"] for row in changed):
        return "No month that counts as the measure is defined today can be shown yet."
    if series == NETWORK:
        return (
            "No hospital's count of this measure is above 10 in every month, so there is no "
            "network chart that would not show small counts. Choose a hospital, a commoner "
            "measure, or a hospital's own figures."
        )
    return (
        "Every month of this measure at this hospital counts 1 to 10 returns, which the network "
        "does not show. The hospital sees them whole in its own figures."
    )


def _say_what_the_chart_shows(series: str, points: list[Row]) -> None:
    shown = [point for point in points if point["rate"] is not None]
    parts = [f"Figures of the {_many(len(shown), 'month')} shown."]
    if series == NETWORK:
        parts.append(f"{_many(points[0]['hospitals_count'], 'hospital')} shown in every month.")
    if len(shown) < len(points):
        parts.append(f"{_many(len(points) - len(shown), 'month')} hidden or not closed (cross).")
    if _is_whole(points):
        if points[0]["is_trial"]:
            parts.append("Fewer than 12 points: the limits are trial limits.")
        parts.append("Solid grey: mean. Dashed: limits of usual variation.")
    page.note(" ".join(parts))


def _many(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _hospitals(view: View, measure: str, denominator: str) -> None:
    st.header("Hospitals compared")
    periods = queries.funnel_periods(view, measure, denominator)
    if not periods:
        st.info(
            "No half-year of this measure is closed and can be shown: a half-year is shown ten "
            "days after its end, where its count does not uncover a hidden month."
        )
        return
    left, _ = st.columns(2)
    with left:
        period = st.selectbox("Half-year", periods, format_func=tables.half_year_name)
    points = [
        row | {"is_own": False}
        for row in queries.funnel(view, "main", measure, denominator, period)
        if view.is_network or row["hospital_key"] != view.scope
    ]
    own: list[Row] = []
    if not view.is_network:
        found = queries.funnel(view, "own", measure, denominator, period)
        own = [row | {"is_own": True} for row in found]
    limits = queries.funnel_limits(view, measure, denominator, period)
    name = DENOMINATORS[denominator]
    page.chart(charts.funnel(points + own, limits, denominator_name=name, has_own=bool(own)))
    fitted = limits[0]
    absent = len(queries.hospitals(view)) - len(points) - len(own)
    page.note(
        f"Pooled rate of the hospitals shown: {100 * fitted['centre_rate']:.2f} %. "
        + (f"{_many(absent, 'hospital')} not shown: small or derivable counts. " if absent else "")
        + "A point outside the limits is a reason to look, not a verdict; there is no ranking."
    )
    page.table_under_chart(
        f"Returns by hospital, {tables.half_year_name(period)}",
        [
            tables.text("Hospital", "hospital_name"),
            tables.count("Returns (numerator)", "numerator_count"),
            tables.count(DENOMINATOR_TEXTS[denominator], "denominator_count"),
            tables.percent("Rate", "rate"),
            tables.percent("Lower (Wilson 95 %)", "wilson_lower"),
            tables.percent("Upper (Wilson 95 %)", "wilson_upper"),
            tables.percent("Shrunk rate", "shrunk_rate"),
            tables.Column("In the funnel", _position),
        ],
        sorted(points + own, key=lambda row: str(row["hospital_name"])),
    )


def _position(row: Row) -> str:
    return escape(POSITIONS.get(row["position_code"] or "", "no funnel"))


def _time_to_return(view: View) -> None:
    st.header("How long until the return")
    if view.is_network:
        st.info(
            "Counts by day are small, and their sums would uncover hidden ones: this curve stands "
            "in a hospital's own figures only."
        )
        return
    periods = queries.return_curve_periods(view)
    if not periods:
        st.info("No index visit of this hospital has been followed for a whole day.")
        return
    left, _ = st.columns(2)
    with left:
        period = st.selectbox(
            "Half-year of the index visit", periods, format_func=tables.half_year_name
        )
    days = queries.return_curve(view, period)
    page.chart(charts.time_to_return(days))
    page.note(
        f"Index visits: {days[0]['at_risk_count'] + days[0]['lost_count']:,}, whatever "
        "measure is chosen; the first return or death ends the waiting. The dead are not counted "
        "as if they could still return. A day counts the visits that the data follow to "
        f"its end; on day {days[-1]['day_number']} that is {days[-1]['at_risk_count']:,} still "
        "waiting. Shaded: 95 % limits."
    )
    page.table_under_chart(
        f"Returns by day after departure, {tables.half_year_name(period)}",
        [
            tables.count("Day", "day_number"),
            tables.count("Waiting and followed", "at_risk_count"),
            tables.count("Returned, admitted", "admitted_returns_count"),
            tables.count("Returned, not admitted", "other_returns_count"),
            tables.count("Returned, still open", "unknown_returns_count"),
            tables.count("Died", "deaths_count"),
            tables.count("Not followed further", "lost_count"),
            tables.percent("Admitted so far", "admitted_share"),
            tables.percent("Lower (95 %)", "admitted_lower"),
            tables.percent("Upper (95 %)", "admitted_upper"),
            tables.percent("Any return so far", "any_share"),
            tables.percent("Lower (95 %)", "any_lower"),
            tables.percent("Upper (95 %)", "any_upper"),
            tables.percent("Dead so far, without return", "died_share"),
        ],
        days,
    )


def _attrition(view: View) -> None:
    st.header("From registration to numerator")
    page.note("The headline measure: every registration is counted somewhere or excluded for one.")
    if view.is_network:
        page.note("Counts of the whole network above 10 are rounded up to tens.")
    rows = queries.ed_attrition(view)
    st.html(
        tables.table(
            "Registrations and what becomes of them",
            [
                tables.Column("Step", _step_name),
                tables.count("Remain", "remain"),
                tables.count("Leave", "leave"),
            ],
            [
                row
                | {
                    "remain": None if row["is_exclusion"] else row["registrations_count"],
                    "leave": row["registrations_count"] if row["is_exclusion"] else None,
                    "is_suppressed": False,
                }
                if not row["is_suppressed"]
                else row | {"remain": None, "leave": None}
                for row in rows
            ],
        )
    )


def _step_name(row: Row) -> str:
    name = escape(str(row["step_name"]))
    return f"&emsp;&minus; {name}" if row["is_exclusion"] else name


if __name__ == "__main__":
    render()
