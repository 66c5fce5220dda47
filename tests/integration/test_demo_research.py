"""Cohorts and research files of the demo network, checked by other means than dbt's tests."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from governance.settings import Settings, load_settings
from ops.release import write_release
from tests.helpers.pipeline import query
from tests.helpers.small_cohorts import SCHEMAS
from tests.integration.test_cohorts import assert_agrees

pytestmark = pytest.mark.integration


def test_a_second_implementation_agrees_on_the_demo_network(demo_settings: Settings) -> None:
    """Members and attrition of the shipped cohorts, person by person."""
    tables = {
        name: query(demo_settings.warehouse, f"select {', '.join(schema)} from core.{name}")
        for name, schema in SCHEMAS.items()
        if name.startswith(("fct_", "dim_"))
    }
    assert_agrees(demo_settings.warehouse, tables, minimum=1)


@pytest.fixture(scope="module")
def release(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """A release of the demo lake, built in a home of its own: the shared one is not changed."""
    home = tmp_path_factory.mktemp("research")
    (home / "lake").symlink_to(demo_home / "lake")
    (home / "scutari.toml").write_text((demo_home / "scutari.toml").read_text())
    (home / "restricted").mkdir()
    settings = load_settings(home)
    return settings, write_release(settings, "open").path


def test_every_class_of_the_release_holds_eleven_persons(release: tuple[Settings, Path]) -> None:
    _, path = release
    patients = pl.read_parquet(path / "release_patients.parquet")
    classes = patients.group_by("sex_code", "age_band", "zip3", "visit_year").len()
    assert len(classes) > 1
    assert min(classes["len"]) >= 11
    diagnoses = pl.read_parquet(path / "release_diagnoses.parquet")
    bearers = diagnoses.group_by("group_level_code", "group_code").agg(
        pl.col("person_key").n_unique()
    )
    assert min(bearers["person_key"]) >= 11


def test_no_value_of_the_lake_s_keys_or_dates_is_released(
    release: tuple[Settings, Path], demo_settings: Settings
) -> None:
    settings, path = release
    known = {
        value
        for table, columns in {
            "core.dim_patients": ("person_key", "postal_code"),
            "core.fct_ed_visits": ("ed_visit_key", "registration_key", "hospital_key"),
            "core.fct_diagnoses": ("diagnosis_key", "diagnosis_code"),
        }.items()
        for column in columns
        for value in query(settings.warehouse, f"select distinct {column} from {table}")[column]
        if value is not None
    }
    assert len(known) > 1000
    for file in path.glob("*.parquet"):
        released = pl.read_parquet(file)
        for name, kind in released.schema.items():
            assert kind in (pl.Int64, pl.Int32, pl.String, pl.Boolean), name
            if kind == pl.String:
                assert not set(released[name].unique()) & known, f"{file.name}: {name}"
