"""A release is written whole, through an open gate, or not at all; its files say nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

import ops.release
import ops.release_gate
from governance.audit.verify import verify_logs
from governance.errors import PublicationError
from governance.settings import PROJECT_ROOT, Settings
from ops.release import write_release
from ops.release_gate import OpenGate
from tests.helpers.small_research import PERSONS, write_project

pytestmark = pytest.mark.integration

TABLES = ("release_patients", "release_ed_visits", "release_diagnoses")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    (home / "restricted").mkdir()
    return Settings(home=home, is_synthetic=True)


@pytest.fixture(scope="module")
def gate(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> OpenGate:
    """The open gate of one real build, and a release `open` written from it."""
    project = write_project(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops.release_gate, "PROJECT_ROOT", project)
        # The project's tables are made up: there is no snapshot behind them.
        patch.setattr(ops.release_gate, "current_snapshot", lambda _: "none")
        seen: list[OpenGate] = []

        def remember(*arguments: Any) -> OpenGate:
            seen.append(ops.release_gate.open_gate(*arguments))
            return seen[-1]

        patch.setattr(ops.release, "open_gate", remember)
        write_release(settings, "open")
    settings.home.joinpath("project").symlink_to(project)
    return seen[0]


@pytest.fixture
def opened(gate: OpenGate, monkeypatch: pytest.MonkeyPatch) -> OpenGate:
    monkeypatch.setattr(ops.release, "open_gate", lambda *arguments: gate)
    return gate


def _digests(directory: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in directory.iterdir()}


def _warehouse(settings: Settings, sql: str) -> pl.DataFrame:
    with duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        return pl.DataFrame(connection.sql(sql).to_arrow_table())


def test_the_files_are_those_of_the_manifest(settings: Settings, gate: OpenGate) -> None:
    directory = settings.release / "open"
    manifest = json.loads((directory / "manifest.json").read_text())
    listed = {entry["file"]: entry for entry in manifest["files"]}
    assert set(listed) == {"README.md", *(f"{table}.parquet" for table in TABLES)}
    found = _digests(directory)
    assert set(found) == {*listed, "manifest.json"}
    for name, entry in listed.items():
        assert found[name] == entry["sha256"]
    patients = pl.read_parquet(directory / "release_patients.parquet")
    assert listed["release_patients.parquet"]["rows"] == len(patients)


def test_small_classes_are_left_out(settings: Settings, gate: OpenGate) -> None:
    """Of 900 persons the man of 97 and the ten women of 95 are in classes of 1 and 10."""
    patients = pl.read_parquet(settings.release / "open" / "release_patients.parquet")
    assert len(patients) == PERSONS - 11
    classes = patients.group_by("sex_code", "age_band", "zip3", "visit_year").len()
    assert classes["len"].to_list() and min(classes["len"]) >= 11
    assert "90+" not in patients["age_band"].to_list()
    assert set(patients["zip3"]) == {"100", "000"}
    assert set(patients["visit_year"]) == {2023}


def test_histories_are_cut_and_rare_diagnoses_are_absent(
    settings: Settings, gate: OpenGate
) -> None:
    directory = settings.release / "open"
    visits = pl.read_parquet(directory / "release_ed_visits.parquet")
    assert visits.group_by("person_key").len()["len"].max() == 3
    assert set(visits.filter(pl.col("visit_number") > 1)["interval_band"]) == {"4-30"}
    assert set(visits["length_of_stay_band"]) == {"2-4h"}
    diagnoses = pl.read_parquet(directory / "release_diagnoses.parquet")
    assert set(diagnoses["group_code"]) == {"END002", "CIR1"}


def test_no_key_of_the_warehouse_is_in_the_files(settings: Settings, gate: OpenGate) -> None:
    directory = settings.release / "open"
    known = _warehouse(
        settings,
        "select person_key as k from research.release_patients"
        " union all select visit_key from research.release_ed_visits",
    )["k"].to_list()
    assert len(known) > PERSONS
    for path in directory.glob("*.parquet"):
        table = pl.read_parquet(path)
        values = {str(v) for column in table.columns for v in table[column].unique()}
        assert not values & set(known)
        for name in [name for name in table.columns if name.endswith("_key")]:
            assert table[name].dtype == pl.Int64
    everything = b"".join(path.read_bytes() for path in directory.iterdir())
    for trace in (b"person-", b"visit-", str(settings.home).encode(), gate.build_id.encode()):
        assert trace not in everything


def test_keys_still_join_what_belongs_together(settings: Settings, gate: OpenGate) -> None:
    """The multiset of (attributes, visits, diagnoses) is the warehouse's, whatever the ids are."""
    sql = """
        select p.sex_code, p.age_band, p.zip3, v.visit_number, v.acuity_code, d.group_code,
            count(*) as rows_count
        from {0}release_patients{1} as p
        join {0}release_ed_visits{1} as v using (person_key)
        left join {0}release_diagnoses{1} as d
            on d.visit_key = v.visit_key and d.person_key = p.person_key
        group by all order by all
    """
    files = duckdb.sql(sql.format(f"'{settings.release}/open/", ".parquet'"))
    here = pl.DataFrame(files.to_arrow_table())
    assert here.equals(_warehouse(settings, sql.format("research.", "")))
    assert len(here) > 10


def test_the_files_say_nothing_beside_their_rows(settings: Settings, gate: OpenGate) -> None:
    for path in (settings.release / "open").glob("*.parquet"):
        metadata = pq.read_metadata(path)
        assert metadata.metadata is None
        assert re.fullmatch(r"parquet-cpp-arrow version [0-9.]+", metadata.created_by)
        column = metadata.row_group(0).column(0)
        assert column.statistics is None
        assert column.compression == "ZSTD"


def test_rows_do_not_stand_in_the_warehouse_s_order(settings: Settings, gate: OpenGate) -> None:
    keys = pl.read_parquet(settings.release / "open" / "release_patients.parquet")["person_key"]
    assert keys.is_sorted()
    assert keys.n_unique() == len(keys)
    # Drawn over the whole range: a counter, or a hash cut short, would not reach the upper half.
    assert keys.max() > 2**62 > keys.min() >= 0  # type: ignore[operator]


def test_the_researcher_s_lines_run(settings: Settings, gate: OpenGate) -> None:
    directory = settings.release / "open"
    text = (directory / "README.md").read_text()
    assert "These data are synthetic" in text
    sql = re.search(r"```sql\n(.*?)```", text, re.DOTALL)
    assert sql is not None
    query = sql.group(1).replace("75-89", "30-44").replace("'release_", f"'{directory}/release_")
    # Every third of 900 was born in 1980, but 21, 24, 27 and 30 are of 1928; three visits each.
    assert duckdb.sql(query).fetchall() == [("2-4h", 3 * (300 - 4))]


def test_a_second_release_has_other_ids(settings: Settings, opened: OpenGate) -> None:
    write_release(settings, "again")
    first, second = (
        set(pl.read_parquet(settings.release / name / "release_patients.parquet")["person_key"])
        for name in ("open", "again")
    )
    assert len(first) == len(second)
    assert not first & second


def test_a_release_is_in_the_audit_log_without_its_name(
    settings: Settings, opened: OpenGate
) -> None:
    write_release(settings, "again")
    manifest = (settings.release / "again" / "manifest.json").read_bytes()
    begun, done = verify_logs(settings)[0].entries[-2:]
    assert (begun.event, begun.outcome, begun.parameters) == (
        "release",
        "begun",
        {"profile": "other"},
    )
    assert done.outcome == "done"
    assert done.parameters["tables"] == len(TABLES)
    assert done.parameters["manifest_sha256"] == hashlib.sha256(manifest).hexdigest()


def test_a_release_replaces_one_of_the_same_name(settings: Settings, opened: OpenGate) -> None:
    write_release(settings, "again")
    before = _digests(settings.release / "again")
    write_release(settings, "again")
    after = _digests(settings.release / "again")
    assert set(before) == set(after)
    assert before["release_patients.parquet"] != after["release_patients.parquet"]
    assert not [path for path in settings.release.iterdir() if path.name.startswith(".")]


def test_a_closed_gate_writes_nothing(
    settings: Settings, gate: OpenGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops.release_gate, "PROJECT_ROOT", settings.home / "project")
    monkeypatch.setattr(ops.release_gate, "current_snapshot", lambda _: "none")
    before = _digests(settings.release / "open")
    listed = sorted(settings.release.iterdir())
    for name in ("open", "fresh"):
        with pytest.raises(PublicationError, match="release_patients_are_k_anonymous"):
            write_release(settings, name, variables={"release_minimum_class_size": 1})
    assert _digests(settings.release / "open") == before
    assert sorted(settings.release.iterdir()) == listed
    # The warehouse now holds tables that failed, and the gate of the green build is gone with them.
    write_release(settings, "open")


@pytest.mark.parametrize("name", ["open", "fresh"])
def test_a_failure_half_way_leaves_nothing(
    settings: Settings, opened: OpenGate, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(ops.release, "open_gate", lambda *arguments: _current(settings, opened))
    write, calls = ops.release._write_parquet, []

    def full_disk(*arguments: Any) -> int:
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return write(*arguments)

    monkeypatch.setattr(ops.release, "_write_parquet", full_disk)
    before = _digests(settings.release / "open")
    listed = sorted(settings.release.iterdir())
    with pytest.raises(PublicationError, match="No space left on device"):
        write_release(settings, name)
    assert _digests(settings.release / "open") == before
    assert sorted(settings.release.iterdir()) == listed


def test_a_killed_run_shows_nothing_and_the_next_is_clean(
    settings: Settings, opened: OpenGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = _current(settings, opened)
    script = f"""
import os, signal, ops.release
from pathlib import Path
from governance.settings import Settings
from ops.release_gate import OpenGate
gate = OpenGate({now.build_id!r}, {now.schema!r}, {now.documentation!r})
ops.release.open_gate = lambda *arguments: gate
write, calls = ops.release._write_parquet, []
def killed(*arguments):
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return write(*arguments)
ops.release._write_parquet = killed
ops.release.write_release(Settings(home=Path({str(settings.home)!r})), "killed")
"""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    child = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert child.returncode == -signal.SIGKILL
    assert not (settings.release / "killed").exists()
    assert (settings.release / ".killed.tmp").exists()

    monkeypatch.setattr(ops.release, "open_gate", lambda *arguments: now)
    write_release(settings, "killed")
    assert {p.name for p in (settings.release / "killed").glob("*.parquet")} == {
        f"{table}.parquet" for table in TABLES
    }
    assert not (settings.release / ".killed.tmp").exists()


def test_tables_of_another_build_are_refused(
    settings: Settings, gate: OpenGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = OpenGate("another build", gate.schema, gate.documentation)
    monkeypatch.setattr(ops.release, "open_gate", lambda *arguments: other)
    with pytest.raises(PublicationError, match="built again"):
        write_release(settings, "other")
    assert not (settings.release / "other").exists()


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a/b", "Upper", "a b"])
def test_a_name_that_is_no_name_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(PublicationError, match="cannot name a release"):
        write_release(settings, name)


def _current(settings: Settings, gate: OpenGate) -> OpenGate:
    """The gate of the build that the warehouse holds now."""
    build_id = _warehouse(settings, "select any_value(build_id) from research.release_gate").item()
    return OpenGate(build_id, gate.schema, gate.documentation)
