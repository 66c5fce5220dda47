"""The worked book of claims, taken from rows through dbt to the marts, against answers by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers import claims_book
from tests.helpers.pipeline import query

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("claims-book")
    claims_book.write_lake(home, claims_book.load_book())
    claims_book.build(home)
    return home / "warehouse.duckdb"


def test_every_claim_comes_to_what_was_derived_by_hand(warehouse: Path) -> None:
    assert answers(warehouse, "core.fct_claims", "expected_claims", CLAIM_RENAMES) == expected(
        "expected_claims"
    )


def test_member_months_by_every_rule(warehouse: Path) -> None:
    found = answers(
        warehouse, "marts.rpt_member_months", "expected_member_months", {"payer_id": "payer_key"}
    )
    assert found == expected("expected_member_months")


def test_monthly_figures_add_up_to_the_cent(warehouse: Path) -> None:
    found = answers(
        warehouse, "marts.rpt_claims_monthly", "expected_claims_monthly", {"payer_id": "payer_key"}
    )
    assert found == expected("expected_claims_monthly")


def test_nothing_wrong_in_the_book_is_silent(warehouse: Path) -> None:
    found = answers(warehouse, "marts.rpt_claim_data_quality", "expected_data_quality", {})
    assert found == expected("expected_data_quality")


def test_lines_of_superseded_and_deleted_versions_stay_visible(warehouse: Path) -> None:
    frame = query(
        warehouse,
        "select claim_line_key, claim_number_key from core.fct_claim_lines where not is_current",
    )
    # 201 and 202 were replaced; the claim of line 22011 was deleted.
    assert dict(frame.iter_rows()) == {"2011": "C02", "2021": "C02", "22011": None}


def test_remittances_keep_their_signs_and_groups(warehouse: Path) -> None:
    frame = query(
        warehouse,
        "select remittance_key, paid_amount, contractual_amount, other_amount, "
        "payer_initiated_amount, ungrouped_amount, patient_responsibility_amount "
        "from core.fct_remittances where remittance_key in ('2012', '8013', '21011')",
    )
    amounts = {key: [str(amount) for amount in rest] for key, *rest in frame.iter_rows()}
    assert amounts == {
        "2012": ["-150.00", "-50.00", "0.00", "0.00", "0.00", "0.00"],
        "8013": ["90.00", "0.00", "4.00", "6.00", "0.00", "0.00"],
        "21011": ["0.00", "25.00", "0.00", "0.00", "5.00", "100.00"],
    }


def test_every_version_is_kept_in_the_order_of_its_links(warehouse: Path) -> None:
    frame = query(
        warehouse,
        "select claim_key, version_number, is_current from core.fct_claim_versions "
        "where claim_number_key in ('C02', 'C04', 'C23', 'C28')",
    )
    assert {key: (number, current) for key, number, current in frame.iter_rows()} == {
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


CLAIM_RENAMES = {"claim_number": "claim_number_key", "claim_id": "claim_key"}


def expected(name: str) -> list[dict[str, Any]]:
    """The answers of the book, as text."""
    rows = [
        {key: value for key, value in row.items() if key != "why"}
        for row in claims_book.read_rows(name)
    ]
    return sorted(rows, key=str)


def answers(
    warehouse: Path, relation: str, name: str, renames: dict[str, str]
) -> list[dict[str, Any]]:
    """The same columns of a table that dbt built, as text: decimals with all their digits."""
    names = [key for key in claims_book.read_rows(name)[0] if key != "why"]
    columns = ", ".join(f"cast({_column(key, renames)} as varchar) as {key}" for key in names)
    return sorted(query(warehouse, f"select {columns} from {relation}").to_dicts(), key=str)


def _column(key: str, renames: dict[str, str]) -> str:
    # The book gives whole member-months; the mart has places for the fractions of exact_days.
    plain = renames.get(key, key)
    return f"cast({plain} as int)" if key == "member_months_count" else plain
