"""Records that name what is not there: in quarantine, deleted at the source, or nowhere."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from extract.snapshot import take_snapshot
from governance.errors import SettingsError
from governance.settings import Settings, load_settings
from tests.helpers import operational, pipeline
from tests.helpers.dbt import run_dbt

pytestmark = pytest.mark.integration

FIRST = datetime(2024, 6, 1, 8, tzinfo=UTC)
VISITS = range(1, 41)
MISTYPED, DELETED = 7, 8
DELETED_ENCOUNTER = 3
# With the tests whose tables are all among the selected ones and what those need.
BUILDABLE = ("--indirect-selection", "buildable", "--exclude-resource-type", "unit_test")


def _content() -> dict[str, dict[str, operational.Rows]]:
    """Forty visits with a diagnosis and an observation each; three led to inpatient encounters."""
    arrivals = {number: FIRST + timedelta(hours=number) for number in VISITS}
    encounters = {1: MISTYPED, 2: 9, DELETED_ENCOUNTER: 10}
    return {
        "ehr": {
            "hospitals": [{"hospital_id": "A"}],
            "feeds": [{"hospital_id": "A", "data_through_at": FIRST + timedelta(days=60)}],
            "patients": [{"patient_id": n, "hospital_id": "A"} for n in VISITS],
            "ed_visits": [
                {
                    "visit_id": n,
                    "hospital_id": "A",
                    "patient_id": n,
                    "arrived_at": "yesterday" if n == MISTYPED else at,
                    "departed_at": at + timedelta(minutes=30),
                    "disposition_code": "home",
                    "deleted_at": at + timedelta(days=1) if n == DELETED else None,
                }
                for n, at in arrivals.items()
            ],
            "ed_visit_diagnoses": [
                {"visit_id": n, "diagnosis_code": "R07.4", "recorded_at": at}
                for n, at in arrivals.items()
            ],
            "observations": [
                {
                    "hospital_id": "A",
                    "patient_id": n,
                    "ed_visit_id": n,
                    "observed_at": at,
                    "observation_code": "8867-4",
                    "unit_code": "/min",
                    "value": 80,
                }
                for n, at in arrivals.items()
            ],
            "inpatient_encounters": [
                {
                    "encounter_id": n,
                    "hospital_id": "A",
                    "patient_id": visit,
                    "ed_visit_id": visit,
                    "admitted_at": FIRST,
                    "deleted_at": FIRST if n == DELETED_ENCOUNTER else None,
                }
                for n, visit in encounters.items()
            ],
            "inpatient_diagnoses": [
                {"encounter_id": n, "diagnosis_code": "I21.4", "recorded_at": FIRST}
                for n in encounters
            ],
        }
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("missing") / "home"
    settings = operational.write_installation(home, _content())
    take_snapshot(settings)
    facts = [f"+fct_{name}" for name in ("ed_visits", "observations", "diagnoses", "encounters")]
    run = run_dbt(
        home, home / "target", "build", "--select", *facts, "stg_quality__quarantine", *BUILDABLE
    )
    assert run.exit_code == 0, run.not_green()
    assert any("known_or_explained" in row["unique_id"] for row in run.results)
    return settings


def test_the_build_goes_on_without_the_visit(built: Settings) -> None:
    assert pipeline.one_value(built.warehouse, "select count(*) from core.fct_ed_visits") == 38


@pytest.mark.parametrize(
    ("table", "rows", "with_encounter"),
    [("fct_observations", 40, 38), ("fct_diagnoses", 40, 40), ("fct_encounters", 40, 40)],
)
def test_nothing_but_the_reference_is_lost(
    built: Settings, table: str, rows: int, with_encounter: int
) -> None:
    """Observations keep their person; 38 ED diagnoses and 2 of inpatients have an encounter."""
    found = pipeline.query(
        built.warehouse, f"select count(*), count(encounter_key) from core.{table}"
    )
    assert found.row(0) == (rows, with_encounter)


def test_an_inpatient_encounter_stands_without_its_ed_visit(built: Settings) -> None:
    found = pipeline.query(
        built.warehouse,
        "select count(*), count(ed_visit_key) from core.fct_encounters "
        "where encounter_class_code = 'inpatient'",
    )
    assert found.row(0) == (2, 1)


def test_keys_that_nothing_explains_stop_the_build(built: Settings, tmp_path: Path) -> None:
    """One visit is in quarantine, so one unknown key is explained; two are more than one in 100."""
    with sqlite3.connect(built.home / "sources" / "ehr.sqlite") as connection:
        connection.execute(
            "update ed_visit_diagnoses set visit_id = 4711, updated_at = '2024-07-01T00:00+00:00' "
            "where visit_id = 20"
        )
    take_snapshot(built)
    staging = ("stg_ehr__ed_visit_diagnoses", "stg_ehr__ed_visits", "stg_quality__quarantine")
    run = run_dbt(built.home, tmp_path / "target", "build", "--select", *staging, *BUILDABLE)
    failed = [name for name in run.not_green() if ": skipped" not in name]
    assert run.exit_code != 0, run.output
    assert len(failed) == 1 and "known_or_explained" in failed[0], failed
    assert "4711" not in run.output


def test_codes_of_a_table_are_known_before_another_source_is_read(tmp_path: Path) -> None:
    """Billing stands first in the settings, and names a hospital and a payer nobody lists."""
    claim = {"claim_type_code": "professional", "frequency_code": "1", "billed_amount": "10.00"}
    settings = operational.write_installation(
        tmp_path / "home",
        {
            "ehr": {"hospitals": [{"hospital_id": "A"}]},
            "billing": {
                "payers": [{"payer_id": "P", "payer_name": "P", "payer_type_code": "public"}],
                "claims": [
                    {**claim, "claim_id": 1, "hospital_id": "A", "payer_id": "P"},
                    {**claim, "claim_id": 2, "hospital_id": "Z", "payer_id": "0099112"},
                ],
            },
        },
    )
    toml = settings.home / "scutari.toml"
    head, ehr, billing = toml.read_text("utf-8").split("[sources.")
    toml.write_text(f"{head}[sources.{billing}[sources.{ehr}", encoding="utf-8")
    take_snapshot(load_settings(settings.home))
    claims = pl.read_parquet(settings.lake / "current" / "billing" / "claims")
    assert sorted(claims.select("hospital_id", "payer_id").rows(), key=str) == [
        ("A", "P"),
        (None, None),
    ]


def test_a_source_whose_codes_others_are_held_to_must_be_named(tmp_path: Path) -> None:
    settings = operational.write_installation(tmp_path / "home", {})
    toml = settings.home / "scutari.toml"
    head, _, billing = toml.read_text("utf-8").split("[sources.")
    toml.write_text(f"{head}[sources.{billing}", encoding="utf-8")
    with pytest.raises(SettingsError, match="does not name the source ehr"):
        take_snapshot(load_settings(settings.home))
