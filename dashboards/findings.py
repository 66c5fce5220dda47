"""What the whole network's chart reviews found, as every signed-in reader may see it."""

from __future__ import annotations

import duckdb
import streamlit as st

from chart_audit.codes import ISSUE
from dashboards import page, queries, tables
from dashboards.queries import Row, View


def network_findings(view: View) -> None:
    """Draw the network's half-years of chart reviews."""
    try:
        rows = queries.network_findings(view)
    except duckdb.CatalogException:
        st.error("The published file holds no findings yet: run `scutari publish`.")
        return
    if not rows:
        st.info("No half-year of the network's chart reviews is closed yet.")
        return
    left, _ = st.columns(2)
    with left:
        period = st.selectbox(
            "Half-year of the first review",
            sorted({row["period_on"] for row in rows}, reverse=True),
            format_func=tables.half_year_name,
        )
    shown = [_shared(row) for row in rows if row["period_on"] == period]
    st.html(
        tables.table(
            f"Findings of all hospitals together, {tables.half_year_name(period)}",
            [
                tables.text("Finding", "name"),
                tables.count("Cases", "found_count"),
                tables.count("Of", "of_count", flag="is_of_hidden"),
                tables.percent("Share", "share", digits=1),
            ],
            shown,
        )
    )
    page.note(
        "Of reviewed cases for the issue, of cases with an issue for its causes; a case can have "
        "several. Three hospitals must have reviewed; a count and what it leaves must be 0, or 33 "
        "and more, and 0 or more than 10 once any one hospital takes its own off. A half-year is "
        "shown when it is closed, and final."
    )


def _shared(row: Row) -> Row:
    found, of = row["found_count"], row["of_count"]
    is_issue = row["finding_code"] == ISSUE
    return row | {
        "name": row["finding_name"] if is_issue else f"\N{EM DASH} {row['finding_name']}",
        "is_of_hidden": of is None,
        "share": found / of if of and found is not None else None,
    }
