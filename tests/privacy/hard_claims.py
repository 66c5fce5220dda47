"""Claims one by one, in months where every rule of hiding counts and amounts is needed.

Three builds of one network, each with what came late to the one before: a payer of build 1 is
``payer_03-1``, so that one dbt build protects them all.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import duckdb
import numpy as np
import polars as pl

PAYERS = [f"payer_{at:02}" for at in range(8)]
BUILDS = range(3)
MONTHS = [dt.date(2023, month, 1) for month in range(7, 13)]
MART = """
    select
        payer_key, incurred_month_on as month_on,
        count(*)::bigint as claims_count,
        count(*) filter (is_adjudicated)::bigint as adjudicated_claims_count,
        count(*) filter (is_denied)::bigint as denied_claims_count,
        0::bigint as voided_claims_count,
        count(*) filter (not is_covered)::bigint as uncovered_claims_count,
        sum(billed_amount)::decimal(18, 2) as billed_amount,
        sum(allowed_amount)::decimal(18, 2) as allowed_amount,
        sum(paid_amount)::decimal(18, 2) as paid_amount,
        sum(patient_responsibility_amount)::decimal(18, 2) as patient_responsibility_amount,
        sum(adjustment_amount)::decimal(18, 2) as adjustment_amount,
        sum(if(is_denied, billed_amount, 0))::decimal(18, 2) as denied_amount,
        sum(if(is_covered, 0, allowed_amount))::decimal(18, 2) as uncovered_allowed_amount,
        sum(if(is_covered, 0, paid_amount))::decimal(18, 2) as uncovered_paid_amount,
        any_value(months.member_months_count)::decimal(18, 4) as member_months_count
    from core.fct_claims
    inner join (
        select payer_key, month_on, sum(member_months_count) as member_months_count
        from marts.rpt_member_months group by all
    ) as months using (payer_key)
    where months.month_on = incurred_month_on
    group by payer_key, incurred_month_on
"""


def write_hard_claims(con: duckdb.DuckDBPyConnection) -> None:
    """Replace the claims of a small warehouse; months that have run out, and no others."""
    rng = np.random.default_rng(5)
    places = [(payer, month) for payer in PAYERS for month in MONTHS]
    of_claims = {place: _claims(rng, *place) for place in places}
    of_members = {place: _members(rng, *place) for place in places}
    all_claims, all_members = [], []
    for build in BUILDS:
        for rows, found in ((of_claims, all_claims), (of_members, all_members)):
            found += [
                row | {"payer_key": f"{row['payer_key']}-{build}"}
                for place in places
                for row in rows[place]
            ]
        of_claims = {place: _later(rng, rows) for place, rows in of_claims.items()}
        of_members = {place: _more_members(rng, rows) for place, rows in of_members.items()}
    claims, members = pl.DataFrame(all_claims), pl.DataFrame(all_members)
    con.execute("create or replace table core.fct_claims as from claims")
    con.execute(
        "create or replace table marts.rpt_member_months as select * replace ("
        "member_months_count::decimal(18, 4) as member_months_count) from members"
    )
    con.execute(f"create or replace table marts.rpt_claims_monthly as {MART}")
    con.execute(
        "insert into core.dim_payers (payer_key) select distinct payer_key from core.fct_claims"
    )
    del claims, members


def _later(rng: np.random.Generator, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The claims of a month one build later: a few came late, a few were voided or answered."""
    if rng.random() < 0.5 or len(rows) < 2:
        return rows
    kept = list(rows)
    kind = rng.integers(3)
    if kind == 0:
        return kept + [dict(kept[int(rng.integers(len(kept)))]) for _ in range(rng.integers(1, 6))]
    if kind == 1:
        return kept[int(rng.integers(1, 3)) :]
    waiting = [at for at, row in enumerate(kept) if not row["is_adjudicated"]]
    for at in waiting[:2]:
        whole = kept[at]["billed_amount"]
        kept[at] = kept[at] | {
            "is_adjudicated": True,
            "is_denied": True,
            "adjustment_amount": whole,
        }
    return kept


def _more_members(rng: np.random.Generator, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        row | {name: row[name] + more for name in ("member_months_count", "members_count")}
        for row, more in ((row, int(rng.choice([0, 0, 1, 2]))) for row in rows)
    ]


def _some(rng: np.random.Generator, few: int = 11) -> int:
    return int(rng.choice([0, rng.integers(1, few), rng.integers(few, few + 10), 25]))


def _claims(rng: np.random.Generator, payer: str, month: dt.date) -> list[dict[str, Any]]:
    rows = []
    is_hard = rng.random() < 0.5
    # Claims may be allowed and left to the patient alone.
    unpaid = float(rng.choice([0, 0.5]))
    numbers = {"open": _some(rng), "denied": _some(rng), "paid": _some(rng)}
    if not is_hard:
        numbers["paid"] += 80
    for state, number in numbers.items():
        uncovered = min(number, _some(rng))
        for at in range(number):
            billed = int(rng.integers(100, 900))
            allowed = int(rng.integers(50, billed)) if state == "paid" else 0
            paid = 0 if not allowed or rng.random() < unpaid else int(rng.integers(1, allowed))
            rows.append(
                {
                    "payer_key": payer,
                    "incurred_month_on": month,
                    "is_adjudicated": state != "open",
                    "is_denied": state == "denied",
                    "is_covered": at >= uncovered,
                    "billed_amount": billed,
                    "allowed_amount": allowed,
                    "paid_amount": paid,
                    "patient_responsibility_amount": allowed - paid,
                    "adjustment_amount": 0 if state == "open" else billed - allowed,
                }
            )
    return rows


def _members(rng: np.random.Generator, payer: str, month: dt.date) -> list[dict[str, Any]]:
    counts = {"medical": int(rng.integers(8, 60)), "dental": int(rng.choice([4, 10, 11, 40]))}
    return [
        {
            "payer_key": payer,
            "product_code": product,
            "member_month_rule_code": "first_day",
            "member_months_count": count,
            "members_count": count,
            "month_on": month,
        }
        for product, count in counts.items()
    ]
