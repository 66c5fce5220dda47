"""The worked book of claims, taken from rows through dbt to the marts, against answers by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from extract.identity.tokens import Tokeniser, load_or_create_key
from extract.snapshot import take_snapshot
from tests.helpers import claims_book
from tests.helpers.operational import write_installation
from tests.helpers.pipeline import query

pytestmark = pytest.mark.integration

Rows = list[dict[str, Any]]
RENAMES = {"claim_number": "claim_number_key", "claim_id": "claim_key", "payer_id": "payer_key"}
# Months from here on depend on the day of the snapshot, which a real one takes from the clock.
FIRST_OPEN_MONTH = "2024-07-01"


@dataclass(frozen=True)
class Built:
    """The warehouse of the book; tokens lead back to the book's keys."""

    warehouse: Path
    is_clock_real: bool = False
    keys: dict[str, str] = field(default_factory=dict)

    def query(self, sql: str) -> pl.DataFrame:
        """The rows of a query, tokens replaced by the keys they stand for."""
        frame = query(self.warehouse, sql)
        return frame.with_columns(pl.col(pl.String).replace(self.keys))


@pytest.fixture(scope="module", params=["plain_lake", "extracted"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The book, once as a lake with its own keys and once through extraction."""
    home = tmp_path_factory.mktemp("claims-book")
    if request.param == "extracted":
        return _extracted(home / "extracted")
    claims_book.write_lake(home, claims_book.load_book())
    claims_book.build(home)
    return Built(home / "warehouse.duckdb")


def _extracted(home: Path) -> Built:
    billing = claims_book.load_book()
    ehr = {"hospitals": [{"hospital_id": "H1"}], "feeds": [claims_book.feed(claims_book.TAKEN_AT)]}
    content = {"ehr": ehr, "billing": billing}
    settings = write_installation(home, content)
    take_snapshot(settings)
    claims_book.build(home)
    tokeniser = Tokeniser(load_or_create_key(settings.vault, allow_create=False))
    keys = {
        tokeniser.tokenise_one(row[column], f"billing.{domain}"): str(row[column])
        for table, column, domain in (
            ("claims", "claim_id", "claim"),
            ("claims", "claim_number", "claim_number"),
            ("claim_lines", "claim_line_id", "claim_line"),
            ("remittances", "remittance_id", "remittance"),
        )
        for row in billing[table]
    }
    return Built(settings.warehouse, is_clock_real=True, keys=keys)


def test_every_claim_comes_to_what_was_derived_by_hand(built: Built) -> None:
    assert answers(built, "core.fct_claims", "expected_claims") == expected(
        built, "expected_claims"
    )


def test_member_months_by_every_rule(built: Built) -> None:
    found = answers(built, "marts.rpt_member_months", "expected_member_months")
    assert found == expected(built, "expected_member_months")


def test_monthly_figures_add_up_to_the_cent(built: Built) -> None:
    found = answers(built, "marts.rpt_claims_monthly", "expected_claims_monthly")
    assert found == expected(built, "expected_claims_monthly")


def test_nothing_wrong_in_the_book_is_silent(built: Built) -> None:
    found = answers(built, "marts.rpt_claim_data_quality", "expected_data_quality")
    assert found == expected(built, "expected_data_quality")


def test_lines_of_superseded_and_deleted_versions_stay_visible(built: Built) -> None:
    frame = built.query(
        "select claim_line_key, claim_number_key from core.fct_claim_lines where not is_current"
    )
    # 201 and 202 were replaced; the claim of line 22011 was deleted.
    assert dict(frame.iter_rows()) == {"2011": "C02", "2021": "C02", "22011": None}


def test_remittances_keep_their_signs_and_groups(built: Built) -> None:
    frame = built.query(
        "select remittance_key, paid_amount, contractual_amount, other_amount, "
        "payer_initiated_amount, ungrouped_amount, patient_responsibility_amount "
        "from core.fct_remittances"
    )
    amounts = {key: [str(amount) for amount in rest] for key, *rest in frame.iter_rows()}
    assert amounts["2012"] == ["-150.00", "-50.00", "0.00", "0.00", "0.00", "0.00"]
    assert amounts["8013"] == ["90.00", "0.00", "4.00", "6.00", "0.00", "0.00"]
    assert amounts["21011"] == ["0.00", "25.00", "0.00", "0.00", "5.00", "100.00"]


def test_every_version_is_kept_in_the_order_of_its_links(built: Built) -> None:
    frame = built.query(
        "select claim_number_key, claim_key, version_number, is_current "
        "from core.fct_claim_versions"
    )
    # One version, 2201, is soft-deleted.
    assert frame.height == len(claims_book.read_rows("claims")) - 1
    found = {
        key: (number, current)
        for claim, key, number, current in frame.iter_rows()
        if claim in ("C02", "C04", "C23", "C28")
    }
    assert found == {
        "201": (1, False),
        "202": (2, False),
        "203": (3, True),
        "401": (1, False),
        "402": (2, False),
        "403": (3, False),
        "2301": (1, False),
        "2303": (2, True),
        "2302": (3, False),
        # 2802 is dated ten days before 2801, which it replaces.
        "2801": (1, False),
        "2802": (2, True),
    }


def expected(built: Built, name: str) -> Rows:
    """The answers of the book, as text."""
    return _fixed(
        built,
        (
            {key: value for key, value in row.items() if key != "why"}
            for row in claims_book.read_rows(name)
        ),
    )


def answers(built: Built, relation: str, name: str) -> Rows:
    """The same columns of a table that dbt built, as text: decimals with all their digits."""
    names = [key for key in claims_book.read_rows(name)[0] if key != "why"]
    columns = ", ".join(f"cast({_column(key)} as varchar) as {key}" for key in names)
    return _fixed(built, built.query(f"select {columns} from {relation}").to_dicts())


def _column(key: str) -> str:
    # The book gives whole member-months; the mart has places for the fractions of exact_days.
    return f"cast({key} as int)" if key == "member_months_count" else RENAMES.get(key, key)


def _fixed(built: Built, rows: Iterable[dict[str, Any]]) -> Rows:
    kept = (
        row for row in rows if not built.is_clock_real or row.get("month_on", "") < FIRST_OPEN_MONTH
    )
    return sorted(kept, key=str)
