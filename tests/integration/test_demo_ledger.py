"""The marts of the demo network against the ledger that was planted with it, cell by cell."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from extract.identity.tokens import Tokeniser, load_or_create_key
from governance.settings import Settings
from ops.matching.report import quality
from tests.helpers import lake
from tests.helpers.pipeline import query
from tests.helpers.plain_returns import Network

pytestmark = pytest.mark.integration

COUNTS = ["numerator_count", "index_visits_count", "all_visits_count"]


def _ledger(settings: Settings, name: str) -> pl.DataFrame:
    return pl.read_parquet(Path(settings.home) / "demo" / f"{name}.parquet")


def _found_persons(settings: Settings) -> dict[int, str | None]:
    """The person that matching found for every patient row, by the row's key at the hospital."""
    with sqlite3.connect(settings.home / "sources" / "ehr.sqlite") as connection:
        numbers = [row[0] for row in connection.execute("select patient_id from patients")]
    tokeniser = Tokeniser(load_or_create_key(settings.vault, allow_create=False))
    tokens = tokeniser.tokenise(pa.array(numbers), "ehr.patient").to_pylist()
    persons = dict(lake.person_map(settings).rows())
    return {number: persons[token] for number, token in zip(numbers, tokens, strict=True)}


@pytest.fixture(scope="module")
def plain(demo_settings: Settings) -> Network:
    """The operational database, counted by plain loops with the persons that were found."""
    path = demo_settings.home / "sources" / "ehr.sqlite"
    return Network(path, _found_persons(demo_settings))


@pytest.mark.parametrize(
    ("measure", "hours", "is_admitted"),
    [("ed_return_72h_admitted", 72, True), ("ed_return_72h_any", 72, False)],
)
def test_ed_returns_are_those_of_the_persons_found(
    demo_settings: Settings, plain: Network, measure: str, hours: int, is_admitted: bool
) -> None:
    """Cell by cell: what the hospitals' rows come to, once it is known who is who."""
    counted = plain.count(hours, admitted=is_admitted)
    wanted = sorted(
        (*cell, counted.numerator["all", *cell], counted.index[cell], counted.everything[cell])
        for cell in counted.everything
    )
    marts = query(
        demo_settings.warehouse,
        f"select hospital_key, month_on, {', '.join(COUNTS)} from marts.rpt_ed_returns_monthly"
        f" where measure_code = '{measure}' and all_visits_count > 0",
    )
    assert sorted(marts.rows()) == wanted
    assert sum(row[2] for row in wanted) > 100


def test_matching_comes_near_the_truth(demo_settings: Settings) -> None:
    """More returns than by number and birth date, never more than were planted."""
    planted = _ledger(demo_settings, "expected_totals")
    counted = query(
        demo_settings.warehouse,
        "select measure_code, sum(numerator_count)::bigint as found"
        " from marts.rpt_ed_returns_monthly group by 1",
    )
    totals = {(rule, code): n for rule, code, n, *_ in planted.rows()}
    found = dict(counted.rows())
    code = "ed_return_72h_any"
    assert totals["deterministic", code] < found[code] <= totals["truth", code]
    for rule, other in totals:
        if rule == "truth":
            assert totals["deterministic", other] <= found[other] <= totals["truth", other], other
    whole, by_kind = quality(demo_settings)
    assert whole.precision >= 0.999
    assert whole.recall >= 0.97
    assert {"twin", "newborn", "names_swapped", "household", "moved"} <= set(by_kind)


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


def test_what_the_network_does_not_see_each_hospital_sees_of_itself(
    demo_settings: Settings,
) -> None:
    network = demo_settings.published / "current.duckdb"
    own_only = "measure_code in (select measure_code from measures where not is_network_published)"
    assert query(network, f"select * from rpt_ed_returns_monthly where {own_only}").is_empty()
    assert query(network, f"select * from rpt_ed_returns_half_yearly where {own_only}").is_empty()
    seen = pl.concat(
        query(
            folder / "current.duckdb", f"select * from own.rpt_ed_returns_monthly where {own_only}"
        )
        for folder in sorted(demo_settings.operational.iterdir())
        if folder.is_dir()
    )
    mart = query(
        demo_settings.warehouse,
        "select hospital_key, month_on, measure_code, numerator_count "
        "from marts.rpt_ed_returns_monthly inner join seeds.ed_return_measures "
        "using (measure_code) where not is_network_published",
    )
    key = ["hospital_key", "month_on", "measure_code"]
    assert seen.select(mart.columns).sort(key).equals(mart.sort(key))
    counted = mart.group_by("measure_code").agg(pl.col("numerator_count").sum())
    returns = dict(counted.rows())
    assert returns["ed_return_30d_any"] > returns["ed_return_7d_same_ed"] > 0
    assert returns["ed_return_7d_same_ed"] > returns["ed_return_72h_same_ed"] > 0
