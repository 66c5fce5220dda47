"""Claims by month of service: what was billed, allowed and paid, PMPM and denials."""

from __future__ import annotations

import itertools
from decimal import Decimal

import streamlit as st

from dashboards import page, queries, tables
from dashboards.queries import Row
from ops import charts


def render() -> None:
    """Draw the page."""
    view = page.open_page("Claims")
    if not view.is_network:
        page.note("Claims are billed by the network; these are the network's protected figures.")
    _definitions()
    payers = {row["payer_key"]: row["payer_name"] for row in queries.payers(view)}
    if not payers:
        st.info("No claims have been loaded yet.")
        return
    left, _ = st.columns(2)
    with left:
        payer = st.selectbox("Payer", list(payers), format_func=lambda key: str(payers[key]))
    rows = [_with_rates(row) for row in _since_first_claim(queries.claims_monthly(view, payer))]
    if not rows:
        st.info("No month of this payer has run out yet; the newest are shown 90 days later.")
        return
    if all(row["is_suppressed"] for row in rows):
        st.info("Every month of this payer counts 1 to 10 claims or members, which is not shown.")
    else:
        _charts(rows)
    _table(rows)


def _since_first_claim(rows: list[Row]) -> list[Row]:
    # Coverage reaches years further back than the claims: those months would be a line of zeros.
    return list(itertools.dropwhile(lambda row: not row["claims_count"], rows))


def _with_rates(row: Row) -> Row:
    adjudicated = row["adjudicated_claims_count"]
    denied = row["denied_claims_count"]
    return row | {
        "paid_pmpm": _per_member_month(row, "paid"),
        "allowed_pmpm": _per_member_month(row, "allowed"),
        "denial_rate": denied / adjudicated if adjudicated and denied is not None else None,
    }


def _per_member_month(row: Row, kind: str) -> Decimal | None:
    """Divide what was paid or allowed for covered members; hidden where the rest is."""
    amount, uncovered = row[f"{kind}_amount"], row[f"uncovered_{kind}_amount"]
    months: Decimal | None = row["member_months_count"]
    if not months or amount is None or uncovered is None:
        return None
    covered: Decimal = amount - uncovered
    return covered / months


def _charts(rows: list[Row]) -> None:
    left, right = st.columns(2)
    with left:
        st.header("Paid per member per month")
        page.chart(
            charts.monthly_line(
                rows, value="paid_pmpm", title="Paid per member month", number_format=",.2f"
            )
        )
    with right:
        st.header("Denial rate")
        page.chart(
            charts.monthly_line(
                rows,
                value="denial_rate",
                title="Denied of adjudicated claims",
                number_format=".1%",
                colour=charts.VERMILLION,
            )
        )


def _table(rows: list[Row]) -> None:
    st.header("By month of service")
    st.html(
        tables.table(
            "Claims by month of service",
            [
                tables.month("Month", "month_on"),
                tables.count("Claims", "claims_count"),
                tables.count("Adjudicated", "adjudicated_claims_count", "is_denial_suppressed"),
                tables.count("Denied", "denied_claims_count", "is_denial_suppressed"),
                tables.percent("Denial rate", "denial_rate", 1, "is_denial_suppressed"),
                tables.money("Billed", "billed_amount"),
                tables.money("Allowed", "allowed_amount", "is_payment_suppressed"),
                tables.money("Paid", "paid_amount", "is_payment_suppressed"),
                tables.money(
                    "Patient share", "patient_responsibility_amount", "is_payment_suppressed"
                ),
                tables.money(
                    "Paid without coverage", "uncovered_paid_amount", "is_uncovered_suppressed"
                ),
                tables.count("Member months", "member_months_count"),
                tables.money("Paid PMPM", "paid_pmpm", "is_uncovered_suppressed"),
                tables.money("Allowed PMPM", "allowed_pmpm", "is_uncovered_suppressed"),
            ],
            list(reversed(rows)),
        )
    )
    page.note(
        "A month is shown 90 days after its end, when most of its claims are answered. What is "
        "shown of it then is final: claims that are answered or corrected later are in no figure "
        "here."
    )


def _definitions() -> None:
    with st.popover("Definitions"):
        st.write(
            "A claim is counted in its **current state**: voided claims are gone, replaced ones "
            "appear once, payments and adjustments are the signed sums of all remittances.  \n"
            "**Allowed** = paid + patient share. **PMPM** = amount for members with coverage on "
            "the first day of service ÷ member months of that month; what was paid without "
            "coverage is shown apart. **Denial rate** = denied ÷ adjudicated claims.  \n"
            "**Hidden**: 1 to 10 claims or member months, and denials of 1 to 10, with the "
            "amounts that belong to them."
        )


if __name__ == "__main__":
    render()
