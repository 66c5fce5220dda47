"""An attacker with the published claims and member months against what they hide.

Counts and amounts of one payer and month are one integer programme, amounts in whole dollars as
they were drawn: allowed is paid and the patients' share; billed is allowed, adjusted and still
open; what is uncovered or denied is part of its whole. No count of 1 to 10 may come out, and no
amount of 1 to 10 claims.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from tests.privacy.test_published_intervals import POSSIBLE, Attacker
from tests.privacy.worlds import Worlds

pytestmark = pytest.mark.integration

COUNTS = ("claims", "adjudicated", "denied", "uncovered")
AMOUNTS = ("billed", "allowed", "paid", "share", "adjustment", "denied_amount")
AMOUNTS += ("uncovered_allowed", "uncovered_paid")
PUBLISHED = """
    select
        payer_key, month_on,
        claims_count, adjudicated_claims_count, denied_claims_count, uncovered_claims_count,
        billed_amount, allowed_amount, paid_amount, patient_responsibility_amount,
        adjustment_amount, denied_amount, uncovered_allowed_amount, uncovered_paid_amount,
        member_months_count
    from {}.rpt_claims_monthly
"""
# An amount, or what an amount leaves of another, and the claims that it belongs to.
BELONGING = {
    ("billed",): "true",
    ("allowed",): "allowed_amount != 0",
    ("paid",): "paid_amount != 0",
    ("share",): "patient_responsibility_amount != 0",
    ("denied_amount",): "is_denied",
    ("still_open",): "not is_adjudicated",
    ("uncovered_allowed",): "not is_covered and allowed_amount != 0",
    ("uncovered_paid",): "not is_covered and paid_amount != 0",
    ("allowed", "uncovered_allowed"): "is_covered and allowed_amount != 0",
    ("paid", "uncovered_paid"): "is_covered and paid_amount != 0",
    ("billed", "denied_amount"): "not is_denied",
}


def rows(con: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    return con.execute(sql).fetchall()


def read(con: duckdb.DuckDBPyConnection) -> tuple[Attacker, dict[Any, int]]:
    """All that the published tables say, and what is behind it."""
    attacker, truth = Attacker(), {}
    shown = {row[:2]: row[2:] for row in rows(con, PUBLISHED.format("published"))}
    for payer, month, *true in rows(con, PUBLISHED.format("marts")):
        place = payer, month
        names = [(*place, name) for name in (*COUNTS, *AMOUNTS, "members")]
        for name, value, seen in zip(names, true, shown[place], strict=True):
            truth[name] = int(value)
            if seen is not None:
                attacker.know(name, int(seen), int(seen))
            elif name[2] in (*COUNTS, "members") and 1 <= value <= 10:
                attacker.know(name, 1, 10)
        truth[(*place, "still_open")] = (
            truth[(*place, "billed")] - truth[(*place, "allowed")] - truth[(*place, "adjustment")]
        )
        _know_the_rules(attacker, place)
    for payer, product, month, true, seen in rows(
        con,
        "select payer_key, product_code, month_on, whole.member_months_count, "
        "shown.member_months_count from marts.rpt_member_months as whole "
        "inner join published.rpt_member_months as shown using (payer_key, product_code, month_on)",
    ):
        name = payer, month, product
        truth[name] = int(true)
        if seen is not None:
            attacker.know(name, int(seen), int(seen))
        elif 1 <= true <= 10:
            attacker.know(name, 1, 10)
    for payer, month in shown:
        products = [name for name in truth if name[:2] == (payer, month)]
        products = [name for name in products if name[2] in ("medical", "dental")]
        attacker.add_up((payer, month, "members"), products)
    return attacker, truth


def _know_the_rules(attacker: Attacker, place: tuple[Any, Any]) -> None:
    def of(name: str) -> tuple[Any, ...]:
        return (*place, name)

    attacker.add_up(of("allowed"), [of("paid"), of("share")])
    attacker.add_up(of("billed"), [of("allowed"), of("adjustment"), of("still_open")])
    for whole, part in (
        ("claims", "adjudicated"),
        ("adjudicated", "denied"),
        ("claims", "uncovered"),
        ("adjustment", "denied_amount"),
        ("allowed", "uncovered_allowed"),
        ("uncovered_allowed", "uncovered_paid"),
        ("paid", "uncovered_paid"),
    ):
        attacker.contain(of(whole), of(part))


def secrets(
    con: duckdb.DuckDBPyConnection, truth: dict[Any, int]
) -> Iterator[tuple[dict[Any, int], int]]:
    """Counts and differences of 1 to 10, and amounts of as few claims."""
    for name, value in truth.items():
        if name[2] in (*COUNTS, "medical", "dental") and 1 <= value <= 10:
            yield {name: 1}, value
    for payer, month in {name[:2] for name in truth}:
        for whole, part in (
            ("claims", "adjudicated"),
            ("adjudicated", "denied"),
            ("claims", "denied"),
            ("claims", "uncovered"),
        ):
            terms = {(payer, month, whole): 1, (payer, month, part): -1}
            value = truth[payer, month, whole] - truth[payer, month, part]
            if 1 <= value <= 10:
                yield terms, value
    for amounts, condition in BELONGING.items():
        for payer, month in rows(
            con,
            "select payer_key, incurred_month_on from core.fct_claims group by all "
            f"having count(*) filter ({condition}) between 1 and 10",
        ):
            terms = {(payer, month, amounts[0]): 1}
            terms |= {(payer, month, part): -1 for part in amounts[1:]}
            yield terms, sum(sign * truth[name] for name, sign in terms.items())


def test_no_small_count_and_no_amount_of_a_few_claims_can_be_derived(many_worlds: Worlds) -> None:
    with duckdb.connect(str(many_worlds.warehouse), read_only=True) as con:
        attacker, truth = read(con)
        asked = list(secrets(con, truth))
        shown = rows(
            con,
            "select count(claims_count), count(denied_claims_count), count(paid_amount), "
            "count(uncovered_paid_amount), count(adjustment_amount) "
            "from published.rpt_claims_monthly",
        )[0]
    found = []
    for terms, value in asked:
        low, high = attacker.interval(terms)
        assert low <= value <= high, "the attacker's own reasoning is wrong"
        if high - low + 1 < POSSIBLE:
            found.append(f"{value} is {low} to {high}: {terms}")
    assert found == []
    assert len(asked) > 200
    # Hiding everything would pass too.
    assert min(shown) > 3, shown
