"""A hospital's own ED beside its return rate: volume, how visits end, and how long they take."""

from __future__ import annotations

from collections import Counter
from datetime import date

import streamlit as st

from dashboards import page, queries, tables
from dashboards.queries import Row, View

HOURS_OF_DAY = 24
MIXES = {
    "acuity": "Acuity",
    "arrival_mode": "Arrival",
    "arrival_hour": "Hour of arrival",
    "disposition": "How visits end",
    "attendance": "Visit of the same person",
}
INTERVALS = {
    "length_of_stay": "Length of stay",
    "arrival_to_triage": "Arrival to triage",
    "triage_to_physician": "Triage to physician",
    "boarding": "Boarding",
}


def render() -> None:
    """Draw the page."""
    view = page.open_page("ED flow")
    if view.is_network:
        st.info("Each hospital sees its own flow: choose a hospital. There is no network version.")
        return
    _definitions()
    dispositions = queries.ed_visit_mix(view, "disposition")
    if not dispositions:
        st.info("There are no ED visits in this snapshot.")
        return
    intervals = queries.ed_intervals(view)
    _months(dispositions, intervals)
    _by_disposition(dispositions, intervals)
    _mix(view)
    _crowding(queries.ed_census(view))


def _definitions() -> None:
    with st.popover("Definitions"):
        st.write(
            "**Visits**: ED visits after joining double registrations, every leg of a transfer, in "
            "the month of the arrival on the hospital's clock.  \n"
            "**Length of stay**: arrival to departure, or to the decision where no departure is "
            "recorded. **Boarding**: of admitted visits, decision to departure.  \n"
            "**Median** and **90th percentile**: the smallest number of whole minutes that half, "
            "or nine in ten, of the measured visits do not exceed. A visit whose times are not "
            "known or not in order is not measured.  \n"
            "**Patients in the ED**: from arrival to departure, counted at each full hour of UTC; "
            "visits whose departure is not known are left out.  \n"
            "**Visit of the same person**: to this ED, within the 365 days up to this arrival.  \n"
            "**Left without being seen**, **against advice**, **admitted**: visits that ended so, "
            "per visit."
        )


def _months(dispositions: list[Row], intervals: list[Row]) -> None:
    st.header("Month by month")
    rows: dict[date, Row] = {}
    for found in dispositions:
        row = rows.setdefault(found["month_on"], {"month_on": found["month_on"], "visits": 0})
        row["visits"] += found["visits_count"]
        row[found["value_code"]] = found["visits_count"]
    for found in intervals:
        if found["disposition_code"] == "all":
            row = rows[found["month_on"]]
            row[f"{found['interval_code']}_median"] = found["median_minutes"]
            row[f"{found['interval_code']}_p90"] = found["p90_minutes"]
    for row in rows.values():
        row["is_suppressed"] = False
        for code in ("admitted", "lwbs", "ama"):
            row[f"{code}_rate"] = row.get(code, 0) / row["visits"]
        for code in INTERVALS:
            row[code] = _median_and_p90(row.get(f"{code}_median"), row.get(f"{code}_p90"))
    st.html(
        tables.table(
            "Visits and how long they take: median, and 90th percentile in brackets, minutes",
            [
                tables.month("Month", "month_on"),
                tables.count("Visits", "visits"),
                tables.percent("Admitted", "admitted_rate"),
                tables.percent("Left without being seen", "lwbs_rate"),
                tables.percent("Against advice", "ama_rate"),
                *(tables.text(name, code) for code, name in INTERVALS.items()),
            ],
            [rows[month] for month in sorted(rows, reverse=True)],
        )
    )


def _by_disposition(dispositions: list[Row], intervals: list[Row]) -> None:
    st.header("Length of stay by how the visit ends")
    found = [row for row in intervals if row["interval_code"] == "length_of_stay"]
    names = {row["value_code"]: row["value_name"] for row in dispositions}
    month = _choose_month({row["month_on"] for row in found}, "length")
    rows = [
        row
        | {
            "name": names.get(row["disposition_code"], "All visits"),
            "minutes": _median_and_p90(row["median_minutes"], row["p90_minutes"]),
            "is_suppressed": False,
        }
        for row in sorted(found, key=lambda row: row["disposition_code"] in names)
        if row["month_on"] == month
    ]
    st.html(
        tables.table(
            "Length of stay: median, and 90th percentile in brackets, minutes",
            [
                tables.text("Visit ended", "name"),
                tables.count("Visits", "visits_count"),
                tables.count("Measured", "measured_count"),
                tables.text("Length of stay", "minutes"),
            ],
            rows,
        )
    )


def _mix(view: View) -> None:
    st.header("Who comes, and when")
    left, right = st.columns(2)
    with left:
        code = st.selectbox("By", list(MIXES), format_func=MIXES.__getitem__)
    found = queries.ed_visit_mix(view, code)
    with right:
        month = _choose_month({row["month_on"] for row in found}, "mix")
    rows = [row | {"is_suppressed": False} for row in found if row["month_on"] == month]
    total = sum(row["visits_count"] for row in rows)
    st.html(
        tables.table(
            f"Visits of one month by {MIXES[code].lower()}",
            [
                tables.text(MIXES[code], "value_name"),
                tables.count("Visits", "visits_count"),
                tables.percent("Share", "share"),
            ],
            [row | {"share": row["visits_count"] / total} for row in rows],
        )
    )


def _crowding(readings: list[Row]) -> None:
    st.header("How full the ED is")
    if not readings:
        st.info("No departure is known: nobody can say who was there.")
        return
    hours = Counter(row["month_on"] for row in readings)
    # The last departures reach into a month without arrivals: of a few hours there is no day.
    whole = {month for month, count in hours.items() if count == HOURS_OF_DAY} or set(hours)
    month = _choose_month(whole, "census")
    rows = [
        row
        | {
            "hour": f"{row['read_hour']:02}:00",
            "mean": f"{row['patients_count'] / row['readings_count']:.1f}",
            "is_suppressed": False,
        }
        for row in readings
        if row["month_on"] == month
    ]
    st.html(
        tables.table(
            "Patients in the ED at each hour of the day",
            [
                tables.text("Hour", "hour"),
                tables.text("Mean", "mean"),
                tables.count("Most", "most_patients_count"),
                tables.count("Readings", "readings_count"),
            ],
            rows,
        )
    )


def _choose_month(months: set[date], key: str) -> date:
    chosen: date = st.selectbox(
        "Month",
        sorted(months, reverse=True),
        format_func=lambda month: f"{month:%B %Y}",
        key=f"month-{key}",
    )
    return chosen


def _median_and_p90(median: int | None, p90: int | None) -> str:
    return "not measured" if median is None else f"{median:,} ({p90:,})"


if __name__ == "__main__":
    render()
