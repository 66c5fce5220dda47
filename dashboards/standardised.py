"""Observed and expected returns: a hospital held to the network on its own mix of visits."""

from __future__ import annotations

import streamlit as st

from dashboards import page, queries, tables
from dashboards.queries import Row, View

NO_REFERENCE = (
    "There is no reference yet: a half-year has one when it is first shown, if the returns of the "
    "hospitals shown fill two strata of age and acuity at least."
)


def draw(view: View, measure: str) -> None:
    """Draw the section of the page on ED returns.

    Args:
        view: whose figures.
        measure: the headline measure.
    """
    st.header(
        "What age and acuity lead one to expect"
        if view.is_network
        else "Held to the network on its own mix"
    )
    reference = queries.reference_strata(view, measure)
    if not reference:
        st.info(NO_REFERENCE)
        return
    if not view.is_network:
        _ratios(queries.standardised_ratios(view, measure))
        page.note("The reference is made once and stays; the hospital's own counts are today's.")
    _reference([row for row in reference if row["period_on"] == reference[0]["period_on"]])


def _ratios(rows: list[Row]) -> None:
    page.note(
        "Expected: the returns that this hospital's index visits would have had if those of each "
        "age and acuity returned as often as the network's. A ratio above 1 is more than expected; "
        "limits that hold 1 say that chance may explain it, and they hold chance alone. Each ratio "
        "stands on the mix of its own hospital: ratios of two hospitals are not to be ranked."
    )
    st.html(
        tables.table(
            "Observed and expected returns by half-year",
            [
                tables.Column("Half-year", _period, style=tables.UNBROKEN),
                tables.count("Index visits", "index_visits_count"),
                tables.count("Observed", "observed_count"),
                tables.Column("Expected", lambda row: _number(row["expected"], 1), style="n"),
                tables.Column("Ratio", lambda row: _number(row["ratio"], 2), style="n"),
                tables.Column("95 % limits", _limits, style="n"),
                tables.count("Strata", "strata_count"),
                tables.count("Hospitals in the reference", "hospitals_count"),
            ],
            rows,
        )
    )


def _reference(rows: list[Row]) -> None:
    period = tables.half_year_name(rows[0]["period_on"])
    page.note(
        f"Reference of the network, {period}: the {rows[0]['hospitals_count']} hospitals whose "
        "half-year was shown. Strata that are too small to be shown are joined with the next. Each "
        "hospital sees in its own figures what its mix would lead one to expect."
    )
    page.table_under_chart(
        f"Reference of the network, {period}",
        [
            tables.text("Age and acuity of the index visit", "stratum_name"),
            tables.count("Index visits", "index_visits_count"),
            tables.count("Returns", "numerator_count"),
            tables.percent("Rate", "rate"),
        ],
        [row | {"rate": row["numerator_count"] / row["index_visits_count"]} for row in rows],
    )


def _period(row: Row) -> str:
    return tables.half_year_name(row["period_on"])


def _number(value: float | None, digits: int) -> str:
    return tables.ABSENT if value is None else f"{value:,.{digits}f}"


def _limits(row: Row) -> str:
    if row["ratio"] is None:
        return tables.ABSENT
    return f"{row['lower_limit']:.2f} to {row['upper_limit']:.2f}"
