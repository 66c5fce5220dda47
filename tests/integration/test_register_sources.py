"""The dbt sources follow one snapshot of the lake, and say so when there is none."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.dbt import DbtRun, run_dbt
from tests.helpers.small_snapshot import write_empty_snapshot

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def target_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dbt-target")


@pytest.fixture(scope="module")
def one_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources") / "the nurse's home"


@pytest.fixture
def home(one_home: Path) -> Path:
    """An empty installation at a path with a blank and a quote."""
    shutil.rmtree(one_home, ignore_errors=True)
    one_home.mkdir()
    return one_home


def write_snapshot(home: Path, snapshot_id: str, hospitals: list[str]) -> None:
    """A snapshot with hospitals in two files, the second without the newer column."""
    directory = write_empty_snapshot(home, snapshot_id)
    zones = pa.array(["America/Toronto"])
    for number, hospital in enumerate(hospitals):
        columns = {"hospital_id": pa.array([hospital]), "time_zone": zones}
        if number == 0:
            columns["peer_group_code"] = pa.array(["small"])
        write(directory / "ehr" / "hospitals" / f"{number}.parquet", pa.table(columns))


def write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def build(home: Path, target_path: Path, *arguments: str) -> DbtRun:
    return run_dbt(home, target_path, "run", "-s", "+dim_hospitals", *arguments)


def hospitals_of(home: Path) -> list[tuple[str, str | None]]:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(
            "select hospital_key, peer_group_code from core.dim_hospitals order by hospital_key"
        ).fetchall()


def test_without_a_snapshot_the_last_build_stays(home: Path, target_path: Path) -> None:
    write_snapshot(home, "s1", ["A"])
    assert build(home, target_path).exit_code == 0
    (home / "lake" / "current").unlink()
    run = build(home, target_path)
    assert run.exit_code != 0
    assert (
        f"There is no snapshot in {home}/lake: run `scutari snapshot` (or `make demo`) first."
        in run.output
    )
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        staged = connection.execute("select hospital_key from staging.stg_ehr__hospitals")
        assert staged.fetchall() == [("A",)]
    assert hospitals_of(home) == [("A", "small")]


def test_snapshot_without_a_manifest_is_none(home: Path, target_path: Path) -> None:
    write_snapshot(home, "s1", ["A"])
    (home / "lake" / "s1" / "_manifest.json").unlink()
    assert "There is no snapshot in" in build(home, target_path).output


def test_any_snapshot_can_be_built_again(
    home: Path, target_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_snapshot(home, "s1", ["A", "B"])
    write_snapshot(home, "s2", ["C"])
    assert build(home, target_path).exit_code == 0
    assert hospitals_of(home) == [("C", "small")]
    assert build(home, target_path, "--vars", "snapshot: s1").exit_code == 0
    assert hospitals_of(home) == [("A", "small"), ("B", None)]
    monkeypatch.setenv("SCUTARI_SNAPSHOT", "s3")
    run = build(home, target_path)
    assert run.exit_code != 0
    assert f"There is no snapshot s3 in {home}/lake" in run.output


def test_sources_name_the_snapshot_and_not_the_link(home: Path, target_path: Path) -> None:
    """A link that moves during a build must not move the build with it."""
    write_snapshot(home, "s1", ["A"])
    assert build(home, target_path).exit_code == 0
    write_snapshot(home, "s2", ["B"])
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        rows = connection.execute("select hospital_id from lake_ehr.hospitals").fetchall()
    assert rows == [("A",)]


def test_a_seed_with_another_column_takes_the_place_of_the_old_one(
    home: Path, target_path: Path
) -> None:
    """As where a warehouse was built by an earlier version."""
    write_snapshot(home, "s1", ["A"])
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute("create schema seeds")
        connection.execute("create table seeds.ed_return_rules as select 'old' as rule_name")
    run = run_dbt(home, target_path, "seed", "-s", "ed_return_rules")
    assert run.exit_code == 0, run.output
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        rules = connection.execute("select rule_code, rule_value from seeds.ed_return_rules")
        assert ("transfer_window_hours", 24) in rules.fetchall()


def test_a_home_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    run = run_dbt(tmp_path / "absent", tmp_path / "target", "build")
    assert run.exit_code != 0
    assert f"There is no directory {tmp_path / 'absent'}: set SCUTARI_HOME" in run.output
    assert "Traceback" not in run.output
