"""Cohorts: what they are and how entry events become members, step by step."""

from __future__ import annotations

import json

import streamlit as st
import yaml

from dashboards import page, queries, tables
from dashboards.queries import Row

MEMBERSHIP = "membership_periods"


def render() -> None:
    """Draw the page."""
    view = page.open_page("Cohorts")
    if not view.is_network:
        page.note("Cohorts span the network; these are the network's protected figures.")
    cohorts = {row["cohort_code"]: row for row in queries.cohorts(view)}
    if not cohorts:
        st.info("No cohort has been defined: see the files in cohorts/.")
        return
    left, _ = st.columns(2)
    with left:
        code = st.selectbox(
            "Cohort", list(cohorts), format_func=lambda key: str(cohorts[key]["cohort_name"])
        )
    _definition(cohorts[code])
    steps = [
        row | {"step_name": step_name(row["rule_name"])}
        for row in queries.cohort_attrition(view, code)
    ]
    st.header("From entry events to members")
    if not steps:
        st.info("A withdrawn cohort has no members.")
        return
    st.html(tables.flow([_step(row) for row in steps]))
    page.note(
        "Counts above 10 are rounded up to tens, and 1 to 10 are hidden: nobody can be told from "
        "subtraction."
    )
    page.table_under_chart(
        "Persons and events left after each step (periods in the last)",
        [
            tables.text("Step", "step_name"),
            tables.count("Persons", "persons_count"),
            tables.count("Events", "events_count"),
        ],
        steps,
    )


def _step(row: Row) -> tables.Step:
    unit = "periods" if row["rule_name"] == MEMBERSHIP else "events"
    return tables.Step(row["step_name"], row["persons_count"], row["events_count"], unit)


def step_name(rule_name: str) -> str:
    """Return a rule's name as a reader would write it."""
    words = rule_name.replace("_", " ")
    return words[:1].upper() + words[1:]


def _definition(cohort: Row) -> None:
    st.write(cohort["description"])
    page.note(
        f"Version {cohort['version_number']} · {cohort['status_code']} · "
        f"owner: {cohort['owner_name'] or 'nobody'}"
    )
    with st.popover("Definition"):
        written = yaml.safe_dump(json.loads(cohort["definition"]), allow_unicode=True)
        st.code(written, language="yaml", wrap_lines=True)


if __name__ == "__main__":
    render()
