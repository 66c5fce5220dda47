"""The claims models against an independent implementation, on random books and on demo data."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from demo.network import plant_network
from governance.settings import Settings
from tests.helpers import claims_book, lake
from tests.helpers.claims_random import draw_book
from tests.helpers.pipeline import query
from tests.oracle import claims as oracle

pytestmark = pytest.mark.integration

CLAIMS = 1500
SEED = 1854
CLAIM_COLUMNS = {
    "claim_key": "claim_key",
    "claim_status_code": "claim_status_code",
    "versions_count": "versions_count",
    "billed_amount": "billed",
    "allowed_amount": "allowed",
    "paid_amount": "paid",
    "patient_responsibility_amount": "share",
    "other_adjustment_amount": "other",
    "is_balanced": "is_balanced",
    "is_covered": "is_covered",
    "has_competing_versions": "has_competing_versions",
    "has_unknown_target": "has_unknown_target",
    "payer_key": "payer_key",
    "service_from_on": "service_from_on",
}


@pytest.fixture(scope="module")
def random_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("claims-random")
    claims_book.write_lake(home, draw_book(SEED, CLAIMS))
    claims_book.build(home)
    return Settings(home=home)


def test_random_books_come_to_the_same(random_settings: Settings) -> None:
    found = compare(random_settings)
    # The draw must reach every corner, or agreement says little.
    counts: dict[str, int] = dict.fromkeys(("paid", "denied", "voided", "open"), 0)
    for claim in found.values():
        counts[claim["claim_status_code"]] += 1
    assert min(counts.values()) >= 20, counts
    for flag in ("is_balanced", "is_covered", "has_competing_versions", "has_unknown_target"):
        assert {claim[flag] for claim in found.values()} >= {True, False}, flag


def test_demo_claims_come_to_the_same(tmp_path: Path) -> None:
    """The billing database as planted, soft-deleted rows and all, without extraction."""
    plant_network(tmp_path, visits=3000, seed=SEED)
    billing = claims_book.read_database(tmp_path / "sources" / "billing.sqlite")
    claims_book.write_lake(tmp_path, billing, taken_at=datetime(2026, 7, 1, tzinfo=UTC))
    claims_book.build(tmp_path)
    assert len(compare(Settings(home=tmp_path))) > 1000


def test_extracted_demo_claims_come_to_the_same(demo_settings: Settings) -> None:
    assert compare(demo_settings), "the demo network has no claims"


def test_no_month_is_counted_that_no_feed_has_brought(demo_settings: Settings) -> None:
    """The network's feeds end on 1 July 2026, whenever the snapshot was taken."""
    found = query(demo_settings.warehouse, "select max(month_on) from marts.rpt_claims_monthly")
    assert found.item() == date(2026, 6, 1)


def compare(settings: Settings) -> dict[str, dict[str, Any]]:
    """Hold the warehouse's claims tables to the oracle's; return the oracle's claims."""
    tables = {name: lake.table(settings, "billing", name) for name in claims_book.TABLES}
    days = oracle.covered_days(tables["coverages"], _known_until(settings))
    covered = set(days.select("member_id", "payer_id", "day").iter_rows())
    claims = oracle.claims(tables, covered)
    months = oracle.member_months(days)
    assert _warehouse_claims(settings.warehouse) == _as_text(claims)
    assert _warehouse_months(settings.warehouse) == months
    monthly = oracle.monthly(claims, months)
    assert _warehouse_monthly(settings.warehouse) == {
        key: {name: value for name, value in sums.items() if value} for key, sums in monthly.items()
    }
    return claims


def _known_until(settings: Settings) -> date:
    """The day of the snapshot, or the last whole day of the newest feed where that is earlier."""
    taken_at = lake.table(settings, "quality", "snapshots")["taken_at"].item()
    assert isinstance(taken_at, datetime)
    if not (settings.lake / "current" / "ehr" / "feeds").is_dir():
        return taken_at.date()
    newest = lake.table(settings, "ehr", "feeds")["data_through_at"].max()
    assert isinstance(newest, datetime)
    return min(taken_at.date(), newest.date() - timedelta(days=1))


def _as_text(claims: dict[str, dict[str, Any]]) -> dict[str, list[Any]]:
    return {
        number: [claim[name] for name in CLAIM_COLUMNS.values()] for number, claim in claims.items()
    }


def _warehouse_claims(warehouse: Path) -> dict[str, list[Any]]:
    columns = ", ".join(CLAIM_COLUMNS)
    rows = query(warehouse, f"select claim_number_key, {columns} from core.fct_claims")
    return {number: [_plain(value) for value in rest] for number, *rest in rows.iter_rows()}


def _warehouse_months(warehouse: Path) -> dict[tuple[date, str, str], tuple[int, ...]]:
    rows = query(
        warehouse,
        "select month_on, payer_key, product_code, members_count, any_day_member_months_count, "
        "first_day_member_months_count, fifteenth_member_months_count, covered_days_count "
        "from marts.rpt_member_months",
    )
    return {(month, payer, code): tuple(rest) for month, payer, code, *rest in rows.iter_rows()}


def _warehouse_monthly(warehouse: Path) -> dict[tuple[date | None, str], dict[str, int]]:
    rows = query(warehouse, "select * from marts.rpt_claims_monthly").with_columns(
        pl.col("member_months_count").cast(pl.Int64)
    )
    found = {}
    for row in rows.iter_rows(named=True):
        key = (row.pop("month_on"), row.pop("payer_key"))
        found[key] = {name: _plain(value) for name, value in row.items()}
        # The oracle has no entry for what never occurred.
        found[key] = {name: value for name, value in found[key].items() if value}
    return found


def _plain(value: Any) -> Any:
    """Money as cents."""
    return oracle.cents(value) if isinstance(value, Decimal) else value
