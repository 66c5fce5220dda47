"""The marts of the demo network against the ledger that was planted with it, cell by cell."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from governance.settings import Settings
from tests.helpers.pipeline import query

pytestmark = pytest.mark.integration

COUNTS = ["numerator_count", "index_visits_count", "all_visits_count"]


def _ledger(settings: Settings, name: str) -> pl.DataFrame:
    return pl.read_parquet(Path(settings.home) / "demo" / f"{name}.parquet")


def test_ed_returns_are_the_planted_ones_in_every_hospital_and_month(
    demo_settings: Settings,
) -> None:
    """Persons are joined by health number and birth date: the ledger's deterministic rule."""
    planted = _ledger(demo_settings, "expected_monthly").filter(
        pl.col("rule") == "deterministic", pl.col("all_visits_count") > 0
    )
    cells = ["measure_code", "hospital_id", "month_on"]
    counted = query(
        demo_settings.warehouse,
        "select measure_code, hospital_key as hospital_id, month_on,"
        f" {', '.join(COUNTS)} from marts.rpt_ed_returns_monthly where all_visits_count > 0",
    ).join(planted.select("measure_code").unique(), on="measure_code", how="semi")
    order = [*cells, *COUNTS]
    assert planted.select(order).sort(cells).rows() == counted.select(order).sort(cells).rows()
    assert planted["measure_code"].n_unique() == 6
    assert planted["numerator_count"].sum() > 300


def test_no_cent_of_the_planted_claims_is_lost(demo_settings: Settings) -> None:
    """Network totals: the months and payers of a claim's parts are the mart's own choice."""
    planted = _ledger(demo_settings, "expected_billing").sum()
    counted = query(
        demo_settings.warehouse,
        "select sum(billed_amount) as billed, sum(paid_amount) as paid,"
        " sum(patient_responsibility_amount) as patient, sum(adjustment_amount) as other"
        " from marts.rpt_claims_monthly",
    )
    assert counted["billed"].item() == planted["billed_amount"].item() > 0
    assert counted["paid"].item() == planted["paid_amount"].item() > 0
    assert counted["patient"].item() == planted["patient_responsibility_amount"].item()
    assert counted["other"].item() == planted["other_adjustment_amount"].item()
