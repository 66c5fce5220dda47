"""Cohorts and research files of the demo network, checked by other means than dbt's tests."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

import ops.release.write
from governance.settings import Settings, load_settings
from ops.release.profiles import Profile, read_profile
from ops.release.write import write_release
from tests.helpers.pipeline import query
from tests.helpers.small_cohorts import SCHEMAS
from tests.integration.test_cohorts import assert_agrees
from tests.oracle.release import read_histories

pytestmark = pytest.mark.integration


def test_a_second_implementation_agrees_on_the_demo_network(demo_settings: Settings) -> None:
    """Members and attrition of the shipped cohorts, person by person."""
    tables = {
        name: query(demo_settings.warehouse, f"select {', '.join(schema)} from core.{name}")
        for name, schema in SCHEMAS.items()
        if name.startswith(("fct_", "dim_"))
    }
    assert_agrees(demo_settings.warehouse, tables, minimum=1)


def _of_half(name: str) -> Profile:
    return replace(read_profile(name), sample_from=0.0, sample_share=0.5)


@pytest.fixture(scope="module")
def release(
    demo_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Path]]:
    """Releases of the demo lake, built in a home of its own: the shared one is not changed."""
    home = tmp_path_factory.mktemp("research")
    (home / "lake").symlink_to(demo_home / "lake")
    (home / "scutari.toml").write_text((demo_home / "scutari.toml").read_text())
    settings = load_settings(home)
    with pytest.MonkeyPatch.context() as patch:
        # A slice of so small a network is too few for anybody to look like enough others.
        patch.setattr(ops.release.write, "read_profile", _of_half)
        paths = {
            profile: write_release(
                settings, profile, profile=profile, agreement=agreement, recipient=recipient
            ).path
            for profile, agreement, recipient in (
                ("open", None, "uni-a"),
                ("limited", "DUA-2026-0001", "uni-b"),
            )
        }
    return home, paths


def test_nobody_is_left_with_fewer_than_twenty(release: tuple[Path, dict[str, Path]]) -> None:
    """Counted from the files by another program, person by person, with the demo's own warts."""
    for path in release[1].values():
        tables = {
            name: pl.read_parquet(path / f"release_{name}.parquet")
            for name in ("patients", "ed_visits", "diagnoses")
        }
        constants = {
            "zip3": "000",
            "visit_year": None,
            "peer_group_code": "withheld",
            "observation_end_band": "withheld",
            "censoring_code": "withheld",
        }
        rows = {
            name: [constants | row for row in table.to_dicts()] for name, table in tables.items()
        }
        histories = list(
            read_histories(rows["patients"], rows["ed_visits"], rows["diagnoses"]).values()
        )
        assert len(histories) > 200
        records = Counter((h.attributes, h.extras, h.events) for h in histories)
        assert min(records.values()) >= 20
        whole = Counter((h.attributes, h.extras, h.events, h.outcomes) for h in histories)
        assert min(whole.values()) >= 3


def test_no_value_of_the_lake_s_keys_or_dates_is_released(
    release: tuple[Path, dict[str, Path]], demo_settings: Settings
) -> None:
    known = {
        value
        for table, columns in {
            "core.dim_patients": ("person_key", "postal_code"),
            "core.fct_ed_visits": ("ed_visit_key", "registration_key", "hospital_key"),
            "core.fct_diagnoses": ("diagnosis_key", "diagnosis_code"),
        }.items()
        for column in columns
        for value in query(demo_settings.warehouse, f"select distinct {column} from {table}")[
            column
        ]
        if value is not None
    }
    assert len(known) > 1000
    for profile, path in release[1].items():
        for file in path.glob("*.parquet"):
            released = pl.read_parquet(file)
            for name, kind in released.schema.items():
                if (profile, name) == ("limited", "arrived_on"):
                    assert kind == pl.Date
                    continue
                assert kind in (pl.Int64, pl.Int32, pl.String, pl.Boolean), name
                if kind == pl.String:
                    assert not set(released[name].unique()) & known, f"{file.name}: {name}"
    # Of the release account's own build nothing is left; its key is for itself.
    assert sorted(path.name for path in (release[0] / "release").iterdir()) == [
        ".account",
        ".ledger",
        "limited",
        "open",
    ]
    assert (release[0] / "release" / ".account").stat().st_mode & 0o077 == 0
    assert not (release[0] / "warehouse.duckdb").exists()
