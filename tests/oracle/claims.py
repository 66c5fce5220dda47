"""A second implementation of the claims rules, written from their definitions, not from the SQL.

Versions are replayed one by one, money is counted in whole cents, coverage day by day: slower and
plainer than the models, and wrong in other ways if it is wrong. Input: the lake's billing tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl

Tables = Mapping[str, pl.DataFrame]
Row = dict[str, Any]

INTERIM = ("2", "3", "4", "5")
ACTING = ("7", "8")


@dataclass
class Verdict:
    """What the versions of one claim come to."""

    standing: list[Row] = field(default_factory=list)
    described_by: Row = field(default_factory=dict)
    has_competing_versions: bool = False
    has_unknown_target: bool = False


def claims(tables: Tables, covered: set[tuple[str, str, date]]) -> dict[str, Row]:
    """Each claim's state by claim number; ``covered``: (member, payer, day)."""
    versions = _versions_by_claim(tables["claims"])
    advices = _advices_by_version(tables["remittances"], tables["remittance_adjustments"])
    return {number: _claim(rows, advices, covered) for number, rows in versions.items()}


def _claim(
    rows: list[Row], advices: dict[str, list[Row]], covered: set[tuple[str, str, date]]
) -> Row:
    verdict = replay(rows)
    shown = verdict.described_by
    every = [advice for row in rows for advice in advices.get(row["claim_id"], [])]
    paid, share, other = (sum(a[name] for a in every) for name in ("paid", "share", "other"))
    billed = sum(cents(row["billed_amount"]) for row in verdict.standing)
    status = _status(verdict.standing, advices, paid, share)
    described = verdict.standing or [shown]
    return {
        "claim_key": max(verdict.standing, key=lambda r: r["place"], default={}).get("claim_id"),
        "claim_status_code": status,
        "versions_count": len(rows),
        "billed": billed,
        "allowed": paid + share,
        "paid": paid,
        "share": share,
        "other": other,
        "is_balanced": billed == paid + share + other if status in ("paid", "denied") else None,
        "is_covered": (shown["member_id"], shown["payer_id"], _from(described)) in covered,
        "has_competing_versions": verdict.has_competing_versions,
        "has_unknown_target": verdict.has_unknown_target,
        "payer_key": shown["payer_id"],
        "service_from_on": _from(described),
    }


def _from(rows: list[Row]) -> date | None:
    return min((r["service_from_on"] for r in rows if r["service_from_on"]), default=None)


def replay(rows: list[Row]) -> Verdict:
    """Let each version do what it says, in the order of receipt and of the links."""
    by_key = {row["claim_id"]: row for row in rows}
    paths = {key: _path(row, by_key) for key, row in by_key.items()}
    verdict = Verdict()
    for row in rows:
        path = paths[row["claim_id"]]
        row["sequence"] = (
            max(str(r["received_on"] or "") for r in path),
            max(str(r["created_at"] or "") for r in path),
            len(path),
            row["frequency_code"] or "",
            row["claim_id"],
        )
    ordered = sorted(rows, key=lambda r: r["sequence"])
    for place, row in enumerate(ordered):
        row["place"] = place
    threads = _threads(ordered, paths)
    for thread in threads.values():
        standing: list[Row] = []
        for row in thread:
            path = paths[row["claim_id"]]
            if row["frequency_code"] in ACTING:
                verdict.has_unknown_target |= len(path) == 1
                end = path[1]["place"] if len(path) > 1 else row["place"]
                standing = [r for r in standing if r["place"] > end]
            if row["frequency_code"] != "8":
                standing.append(row)
        verdict.has_competing_versions |= len(standing) > 1
        verdict.standing += standing[-1:]
    bills = verdict.standing or [r for r in ordered if r["frequency_code"] != "8"] or ordered
    verdict.described_by = max(bills, key=lambda r: r["place"])
    return verdict


def _path(row: Row, by_key: dict[str, Row]) -> list[Row]:
    """The version, the one it names, the one that names, ...; itself alone where that fails."""
    path, seen = [row], {row["claim_id"]}
    while path[-1]["frequency_code"] in ACTING:
        target = by_key.get(path[-1]["replaces_claim_id"])
        if target is None:
            break
        if target["claim_id"] in seen:
            return [row]
        path.append(target)
        seen.add(target["claim_id"])
    return path


def _threads(ordered: list[Row], paths: dict[str, list[Row]]) -> dict[str, list[Row]]:
    def own(row: Row) -> str | None:
        root = paths[row["claim_id"]][-1]
        if root["frequency_code"] in ACTING:
            return None
        return str(root["claim_id"]) if root["frequency_code"] in INTERIM else "originals"

    known = {own(row) for row in ordered} - {None}
    threads: dict[str, list[Row]] = defaultdict(list)
    for row in ordered:
        fallback = paths[row["claim_id"]][-1]["claim_id"] if len(known) > 1 else None
        threads[own(row) or fallback or next(iter(known), None) or "originals"].append(row)
    return threads


def _status(standing: list[Row], advices: dict[str, list[Row]], paid: int, share: int) -> str:
    if not standing:
        return "voided"
    last_days = [_last_day(advices.get(row["claim_id"], [])) for row in standing]
    if any(all(a["status_code"] in ("reversed", None) for a in day) for day in last_days):
        return "open"
    latest = max(str(day[0]["paid_on"] or "") for day in last_days)
    is_denial = any(
        a["status_code"] == "denied"
        for day in last_days
        if str(day[0]["paid_on"] or "") == latest
        for a in day
    )
    return "denied" if is_denial and paid == 0 and share == 0 else "paid"


def _last_day(advices: list[Row]) -> list[Row]:
    last = max((str(a["paid_on"] or "") for a in advices), default="")
    return [a for a in advices if str(a["paid_on"] or "") == last]


def _versions_by_claim(frame: pl.DataFrame) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in frame.iter_rows(named=True):
        found[row["claim_number"] or row["claim_id"]].append(row)
    return found


def _advices_by_version(
    remittances: pl.DataFrame, adjustments: pl.DataFrame
) -> dict[str, list[Row]]:
    amounts: dict[tuple[str, bool], int] = defaultdict(int)
    for row in adjustments.iter_rows(named=True):
        amounts[row["remittance_id"], row["group_code"] == "PR"] += cents(row["amount"])
    found: dict[str, list[Row]] = defaultdict(list)
    for row in remittances.iter_rows(named=True):
        row["paid"] = cents(row["paid_amount"])
        row["share"] = amounts[row["remittance_id"], True]
        row["other"] = amounts[row["remittance_id"], False]
        found[row["claim_id"]].append(row)
    return found


def cents(amount: Any) -> int:
    """Dollars, exact, as whole cents."""
    return int((amount or 0) * 100)


def covered_days(coverages: pl.DataFrame, known_until: date) -> pl.DataFrame:
    """One row per member, payer and covered day, with the product of the spell that began last."""
    return (
        coverages.with_columns(ends_on=pl.min_horizontal("ends_on", pl.lit(known_until)))
        .filter(pl.col("starts_on") <= pl.col("ends_on"))
        .with_columns(day=pl.date_ranges("starts_on", "ends_on"))
        .explode("day")
        .sort("starts_on", "coverage_id")
        .group_by("member_id", "payer_id", "day")
        .agg(pl.col("product_code").last())
    )


def member_months(
    days: pl.DataFrame,
) -> dict[tuple[date, str, str], tuple[int, int, int, int, int]]:
    """(month, payer, product) -> members, any-day, first-day, fifteenth and covered days."""
    monthly = days.with_columns(
        month_on=pl.col("day").dt.truncate("1mo"),
        is_last=pl.col("day")
        == pl.col("day").max().over("member_id", "payer_id", pl.col("day").dt.truncate("1mo")),
    )
    counted = monthly.group_by("month_on", "payer_id", "product_code").agg(
        pl.col("member_id").n_unique().alias("members"),
        pl.col("is_last").sum().alias("any_day"),
        (pl.col("day").dt.day() == 1).sum().alias("first_day"),
        (pl.col("day").dt.day() == 15).sum().alias("fifteenth"),
        pl.len().alias("days"),
    )
    return {(m, p, c): (n, a, f, h, d) for m, p, c, n, a, f, h, d in counted.iter_rows()}


def monthly(
    found: dict[str, Row], months: dict[tuple[date, str, str], tuple[int, int, int, int, int]]
) -> dict[tuple[date | None, str], Row]:
    """(month of service, payer) -> the measures of rpt_claims_monthly, money in cents."""
    sums: dict[tuple[date | None, str], Row] = defaultdict(lambda: defaultdict(int))
    for claim in found.values():
        month = claim["service_from_on"] and claim["service_from_on"].replace(day=1)
        for name, amount in _measures(claim):
            sums[month, claim["payer_key"]][name] += amount
    for (month, payer, _), (_, any_day, *_) in months.items():
        sums[month, payer]["member_months_count"] += any_day
    return sums


def _measures(claim: Row) -> Iterator[tuple[str, int]]:
    status = claim["claim_status_code"]
    yield "claims_count", int(status != "voided")
    yield "adjudicated_claims_count", int(status in ("paid", "denied"))
    yield "denied_claims_count", int(status == "denied")
    yield "voided_claims_count", int(status == "voided")
    yield "uncovered_claims_count", int(status != "voided" and not claim["is_covered"])
    yield "billed_amount", claim["billed"]
    yield "allowed_amount", claim["allowed"]
    yield "paid_amount", claim["paid"]
    yield "patient_responsibility_amount", claim["share"]
    yield "adjustment_amount", claim["other"]
    yield "denied_amount", claim["billed"] if status == "denied" else 0
    yield "uncovered_allowed_amount", 0 if claim["is_covered"] else claim["allowed"]
    yield "uncovered_paid_amount", 0 if claim["is_covered"] else claim["paid"]
