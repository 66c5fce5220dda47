"""Data quality: does what arrived add up to what the sources hold, and what was kept out."""

from __future__ import annotations

from html import escape

import streamlit as st

from dashboards import page, queries, tables
from dashboards.queries import Row


def render() -> None:
    """Draw the page."""
    view = page.open_page("Data quality")
    if not view.is_network:
        page.note("One snapshot serves the network; these are the network's protected figures.")
    checks = queries.reconciliation(view)
    _verdict(checks)
    st.header("Rows: source against lake")
    st.html(
        tables.table(
            "Rows in the source = rows in the lake + rows in quarantine (checked exactly, shown "
            "rounded up to hundreds and tens)",
            [
                tables.Column("Table", _table_name),
                tables.Column("Adds up", _adds_up, style=tables.UNBROKEN),
                tables.count("Source", "source_count"),
                tables.count("Lake", "lake_count"),
                tables.count("Quarantined", "quarantined_count"),
            ],
            [row for row in checks if row["check_code"] == "row_count"],
        )
    )
    _other_checks([row for row in checks if row["check_code"] != "row_count"])
    _quarantine(queries.quarantine(view))


def _verdict(checks: list[Row]) -> None:
    failed = [row for row in checks if not row["is_equal"]]
    if not checks:
        st.info("This snapshot was taken without a reconciliation.")
    elif failed:
        st.error(f"✗ {len(failed)} of {len(checks)} checks do not add up.")
    else:
        st.success(
            f"✓ All {len(checks)} checks add up: every row of the sources is in the lake or in "
            "quarantine."
        )


def _other_checks(checks: list[Row]) -> None:
    st.header("Columns: key ranges, empty values and sums")
    if not checks:
        st.write("No column was checked.")
        return
    failed = [row for row in checks if not row["is_equal"]]
    st.write(
        f"{len(checks) - len(failed)} of {len(checks)} checks of single columns add up. Ranges and "
        "sums were compared inside the database snapshot and are not kept."
    )
    with st.expander("Show every check", expanded=bool(failed)):
        st.html(
            tables.table(
                "Checks of single columns",
                [
                    tables.Column("Table", _table_name),
                    tables.text("Column", "column_name"),
                    tables.Column("Check", lambda row: escape(_words(row["check_code"]))),
                    tables.count("Source", "source_count"),
                    tables.count("Lake", "lake_count"),
                    tables.Column("Adds up", _adds_up, style=tables.UNBROKEN),
                ],
                checks,
            )
        )


def _quarantine(rows: list[Row]) -> None:
    st.header("Quarantine")
    if not rows:
        st.write("No value was kept out.")
        return
    st.write(
        "Values that did not fit their contract stay in the restricted zone; here are only "
        "their number and the reason. Numbers of 1 to 10 are hidden, greater ones "
        "rounded up to tens."
    )
    st.html(
        tables.table(
            "Values kept out of the lake",
            [
                tables.Column("Table", _table_name),
                tables.text("Column", "column_name"),
                tables.count("Rows", "row_count"),
                tables.Column("Reason", lambda row: escape(_words(row["reason_code"]))),
                tables.Column(
                    "Kept out", lambda row: "the row" if row["is_row_dropped"] else "the value"
                ),
            ],
            rows,
        )
    )


def _table_name(row: Row) -> str:
    return escape(f"{row['source_name']}.{row['table_name']}")


def _adds_up(row: Row) -> str:
    return "✓ yes" if row["is_equal"] else "✗ <b>no</b>"


def _words(code: str) -> str:
    return code.replace("_", " ")


if __name__ == "__main__":
    render()
