"""The oracle against the warehouse on whole networks: visit by visit, pair by pair, cell by cell.

The oracle reads the snapshot's Parquet files and the measures' seed rows; nothing that dbt made.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from governance.settings import Settings, load_settings
from tests.helpers import drawn, lake, operational, pipeline
from tests.helpers.measures import shipped_measures
from tests.oracle.ed_direct_admissions import PAIRING, with_direct_admissions
from tests.oracle.ed_reattendances import PAIRING as REATTENDANCE
from tests.oracle.ed_reattendances import with_reattendances
from tests.oracle.ed_return_measures import (
    HEADLINE,
    attrition,
    flagged,
    monthly_counts,
)
from tests.oracle.ed_returns import Answer, answer
from tests.oracle.ed_time_to_return import days_to_return

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=["demo", "limits"])
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The demo, and a network in which most things happen at the very limit of a rule."""
    if request.param == "demo":
        return load_settings(request.getfixturevalue("demo_home"))
    home = tmp_path_factory.mktemp("limits") / "home"
    settings = operational.write_installation(home, drawn.draw_network(2500, seed=1854))
    reports = ("returns_monthly", "returns_attrition", "time_to_return")
    pipeline.run_models(settings, *(f"rpt_ed_{name}" for name in reports))
    return settings


@pytest.fixture(scope="module")
def oracle(network: Settings) -> Answer:
    return answer(
        lake.registrations(network),
        lake.persons(network),
        lake.inpatient(network),
    )


@pytest.fixture(scope="module")
def through(network: Settings) -> datetime:
    return lake.data_through(network)


@pytest.fixture(scope="module")
def pairs_of_the_warehouse(network: Settings) -> pl.DataFrame:
    return pipeline.query(network.warehouse, "select * from core.fct_ed_returns")


def test_registrations_agree(network: Settings, oracle: Answer) -> None:
    found = pipeline.query(
        network.warehouse,
        """
        select
            ed_visit_key as visit_key,
            leg_key,
            stay_key,
            index_exclusion_reason as exclusion_reason
        from core.fct_ed_visits
        """,
    )
    wanted = oracle.registrations
    assert_frame_equal(
        found.sort("visit_key"),
        wanted.select(found.columns).sort("visit_key"),
        check_dtypes=False,
    )


def test_months_of_arrival_agree(network: Settings, oracle: Answer) -> None:
    found = pipeline.query(
        network.warehouse,
        "select ed_visit_key as leg_key, arrived_month_on from core.fct_ed_visits",
    )
    both = oracle.legs.select("leg_key", "month_on").join(found, on="leg_key", validate="1:1")
    assert len(both) == len(oracle.legs)
    assert both.filter(pl.col("month_on") != pl.col("arrived_month_on")).is_empty()


def test_index_visits_and_returns_agree(
    oracle: Answer, pairs_of_the_warehouse: pl.DataFrame
) -> None:
    columns = {
        "index_visit_key": "index_visit_key",
        "return_visit_key": "return_visit_key",
        "person_key": "person_key",
        "hospital_key": "hospital_key",
        "return_hospital_key": "return_hospital_key",
        "month_on": "index_month_on",
        "departed_at": "index_departed_at",
        "return_arrived_at": "return_arrived_at",
    }
    wanted = oracle.pairs.select(list(columns)).rename(columns).sort("index_visit_key")
    found = pairs_of_the_warehouse.select(wanted.columns).sort("index_visit_key")
    assert_frame_equal(
        _on_one_clock(found), _on_one_clock(wanted), check_dtypes=False, check_column_order=True
    )


def _on_one_clock(frame: pl.DataFrame) -> pl.DataFrame:
    """The warehouse keeps instants as UTC without a zone, the lake with one."""
    return frame.with_columns(
        pl.col(pl.Datetime).dt.replace_time_zone(None).dt.cast_time_unit("us")
    )


def test_facts_of_each_return_agree(
    oracle: Answer, pairs_of_the_warehouse: pl.DataFrame, through: datetime
) -> None:
    wanted = flagged(oracle.pairs, HEADLINE, through).select(
        "index_visit_key",
        "index_diagnosis_code",
        "return_diagnosis_code",
        "return_outcome_code",
        pl.col("is_return_admitted").fill_null(False),
        pl.col("is_followed_up").alias("has_complete_follow_up"),
        "is_outcome_known",
        pl.col("elapsed").dt.total_seconds().alias("elapsed_seconds"),
    )
    found = pairs_of_the_warehouse.select(wanted.columns).with_columns(
        pl.col("is_return_admitted").fill_null(False)
    )
    has_return = pairs_of_the_warehouse["return_visit_key"].is_not_null().sum()
    assert has_return > 100, "too few returns to agree about"
    assert_frame_equal(
        found.sort("index_visit_key"), wanted.sort("index_visit_key"), check_dtypes=False
    )


def test_days_to_return_agree(network: Settings, oracle: Answer, through: datetime) -> None:
    names = ("at_risk", "admitted", "other", "unknown", "died", "lost")
    found = pipeline.query(
        network.warehouse,
        """
        select
            hospital_key, period_on, day_number, at_risk_count as at_risk,
            admitted_returns_count as admitted, other_returns_count as other,
            unknown_returns_count as unknown, deaths_count as died, lost_count as lost
        from marts.rpt_ed_time_to_return
        """,
    )
    hospitals = lake.table(network, "ehr", "hospitals").select("hospital_id", "time_zone")
    wanted = days_to_return(oracle, dict(hospitals.iter_rows()), through)
    counted = {
        (row["hospital_key"], row["period_on"], row["day_number"], name): row[name]
        for row in found.iter_rows(named=True)
        for name in names
        if row[name]
    }
    assert counted == wanted
    assert {key[-1] for key in wanted} >= {"at_risk", "admitted", "other", "died", "lost"}


def test_monthly_mart_agrees(network: Settings, oracle: Answer, through: datetime) -> None:
    found = pipeline.query(
        network.warehouse,
        """
        select
            hospital_key,
            month_on,
            measure_code,
            cast(numerator_count as bigint) as numerator_count,
            cast(index_visits_count as bigint) as index_visits_count,
            cast(all_visits_count as bigint) as all_visits_count
        from marts.rpt_ed_returns_monthly
        """,
    )
    directly = with_direct_admissions(oracle.pairs, lake.admissions(network), lake.persons(network))
    again = with_reattendances(oracle, lake.persons(network))
    paired = {PAIRING: directly, REATTENDANCE: again}
    wanted = monthly_counts(oracle, shipped_measures(), through, paired)
    assert set(wanted["measure_code"]) == set(found["measure_code"])
    assert wanted.filter(measure_code=HEADLINE.code)["numerator_count"].sum() > 0
    key = ["measure_code", "hospital_key", "month_on"]
    assert_frame_equal(_counted(found).sort(key), _counted(wanted).sort(key), check_dtypes=False)


def test_direct_admissions_agree(network: Settings, oracle: Answer) -> None:
    found = pipeline.query(
        network.warehouse,
        """
        select
            index_visit_key, encounter_key, admission_hospital_key as return_hospital_key,
            admission_diagnosis_code as return_diagnosis_code,
            admission_age_years as return_age_years, elapsed_seconds
        from core.fct_ed_direct_admissions
        """,
    )
    wanted = with_direct_admissions(oracle.pairs, lake.admissions(network), lake.persons(network))
    wanted = wanted.filter(pl.col("encounter_key").is_not_null()).with_columns(
        elapsed_seconds=pl.col("elapsed").dt.total_seconds()
    )
    assert len(found) > 20, "too few direct admissions to agree about"
    assert_frame_equal(
        found.sort("index_visit_key"),
        wanted.select(found.columns).sort("index_visit_key"),
        check_dtypes=False,
    )


def test_attrition_agrees(network: Settings, oracle: Answer, through: datetime) -> None:
    found = pipeline.query(
        network.warehouse,
        """
        select hospital_key, step_code, registrations_count as count
        from marts.rpt_ed_returns_attrition
        """,
    )
    key = ["hospital_key", "step_code"]
    assert_frame_equal(
        found.filter(pl.col("count") > 0).sort(key),
        attrition(oracle, HEADLINE, through).select(found.columns).sort(key),
        check_dtypes=False,
    )


def _counted(cells: pl.DataFrame) -> pl.DataFrame:
    """Leave out empty cells: whether zeros have a row is no question of truth."""
    columns = ["hospital_key", "month_on", "measure_code", "numerator_count"]
    columns += ["index_visits_count", "all_visits_count"]
    return cells.select(columns).filter(pl.col("all_visits_count") > 0)


@pytest.fixture(scope="module")
def planted(demo_home: Path) -> Path:
    """The ledger: what the demo planted, read off its plan and not off its rows."""
    return demo_home / "demo"


def test_ledger_and_warehouse_agree_on_every_visit(demo_settings: Settings, planted: Path) -> None:
    ledger = pl.read_parquet(planted / "visits.parquet")
    names = pipeline.raw_visit_keys(demo_settings, ledger["visit_id"])
    found = pipeline.query(
        demo_settings.warehouse,
        """
        select ed_visit_key, leg_key, index_exclusion_reason is null as is_index
        from core.fct_ed_visits
        """,
    ).select(
        pl.col("ed_visit_key").replace_strict(names).alias("visit_id"),
        pl.col("leg_key").replace_strict(names).alias("leg_visit_id"),
        "is_index",
    )
    assert_frame_equal(
        found.sort("visit_id"), ledger.select(found.columns).sort("visit_id"), check_dtypes=False
    )


def test_headline_is_the_seed_row() -> None:
    headline = next(measure for measure in shipped_measures() if measure.code == HEADLINE.code)
    assert headline == HEADLINE
