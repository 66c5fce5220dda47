"""A snapshot is whole or absent, keeps what it must and nothing else."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from extract import codes, snapshot, zones
from extract.lake import MANIFEST, sha256_of
from extract.snapshot import take_snapshot
from extract.verify import verify_snapshot
from governance.audit.events import about
from governance.audit.verify import verify_logs
from governance.errors import (
    SettingsError,
    SnapshotError,
    SourceError,
)
from governance.settings import PROJECT_ROOT, Settings, load_settings
from tests.helpers.nights import APRIL, CHILD, CONTENT, MARCH, change, current, leftovers, visits
from tests.helpers.operational import write_installation
from tests.helpers.vault import current_vault, read_vault

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return write_installation(tmp_path / "home", CONTENT)


def test_one_night(settings: Settings) -> None:
    report = take_snapshot(settings)
    assert current(settings) == report.snapshot_id
    assert sorted(f.name for f in (settings.lake / "current/ehr/ed_visits").iterdir()) == [
        "2024-03.parquet",
        "2024-04.parquet",
    ]
    frame = visits(settings)
    assert frame.height == 3
    assert frame.schema["arrived_at"] == pl.Datetime("us", "UTC")
    assert sorted(frame["arrived_at"].to_list()) == [MARCH, APRIL, APRIL]
    assert (report.quarantined_values, report.quarantined_rows) == (1, 0)
    assert all(check.is_equal for check in report.checks)
    assert "ehr.ed_visits" in str(report)
    assert verify_snapshot(settings).snapshot_id == report.snapshot_id
    assert leftovers(settings) == []


def test_undeclared_columns_and_identifiers_never_reach_the_lake(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    change(settings, "alter table ed_visits add column internal_note text")
    change(settings, "update ed_visits set internal_note = 'canary note 4711'")
    lines: list[str] = []
    report = take_snapshot(settings, progress=lines.append)
    told = "\n".join([*lines, str(report), *capsys.readouterr()])
    canaries = ["HN-CANARY-1", "Canaria", "canary note 4711", "canary@example.org", "M710017100171"]
    raw_keys = ["710017100171", "810018100181", "810028100282", "810038100383"]
    for text in canaries:
        assert text not in told
    for path in settings.lake.rglob("*"):
        assert not any(text in path.name for text in canaries + raw_keys)
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            whole = str(table.to_pylist()) + str(pq.read_metadata(path).to_dict())
            assert not any(text in whole for text in canaries + raw_keys), path
            assert "internal_note" not in table.schema.names
        elif path.is_file():
            assert not any(text in path.read_text() for text in canaries), path
    quarantined = settings.restricted / "quarantine" / report.snapshot_id
    rows = pl.read_parquet(quarantined / "ehr/ed_visits/2024-04.parquet").to_dicts()
    assert [(row["source_key"], row["raw_value"]) for row in rows] == [
        ("810038100383", "call canary@example.org")
    ]
    vault = read_vault(current_vault(settings), "ehr/patients/all.parquet")
    assert "HN-CANARY-1" in vault["health_number"].to_list()


def test_what_has_not_changed_is_linked_and_the_rest_read_again(settings: Settings) -> None:
    take_snapshot(settings)
    before = settings.lake / current(settings)
    march, april = (f"ehr/ed_visits/2024-0{n}.parquet" for n in (3, 4))
    change(
        settings,
        "update ed_visits set acuity_code = '1', updated_at = '2024-07-01T00:00:00+00:00' "
        "where visit_id = 810028100282",
    )
    report = take_snapshot(settings)
    after = settings.lake / current(settings)
    assert (after / march).stat().st_ino == (before / march).stat().st_ino
    assert (after / april).stat().st_ino != (before / april).stat().st_ino
    assert report.linked_partitions == report.partitions - 1
    assert "1" in visits(settings)["acuity_code"].to_list()
    # What was in quarantine stays counted.
    assert report.quarantined_values == 1
    full = take_snapshot(settings, full=True)
    assert full.linked_partitions == 0
    assert (settings.lake / full.snapshot_id / march).stat().st_ino != (after / march).stat().st_ino


def test_a_changed_code_set_reads_its_tables_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_snapshot(settings)
    real = codes.load_code_sets

    def with_one_code_less(*arguments: Any) -> Any:
        sets = real(*arguments)
        return sets | {"acuity": sets["acuity"].slice(1)}

    monkeypatch.setattr(snapshot, "load_code_sets", with_one_code_less)
    report = take_snapshot(settings)
    assert report.partitions - report.linked_partitions == 2  # both months of ed_visits


def test_a_file_that_changed_since_is_not_handed_on(settings: Settings) -> None:
    take_snapshot(settings)
    path = settings.lake / "current" / "ehr/ed_visits/2024-03.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    report = take_snapshot(settings)
    assert report.linked_partitions == report.partitions - 1
    assert visits(settings).height == 3
    assert verify_snapshot(settings).rows > 0


@pytest.mark.parametrize("kind", ["a view", "a table WITHOUT ROWID"])
def test_a_table_without_row_ids_cannot_be_partitioned(settings: Settings, kind: str) -> None:
    change(settings, "alter table ed_visits rename to behind")
    if kind == "a view":
        change(settings, "create view ed_visits as select * from behind")
    else:
        path = settings.home / "sources" / "ehr.sqlite"
        with closing(sqlite3.connect(path)) as connection:
            query = "select sql from sqlite_master where name = 'behind'"
            (ddl,) = connection.execute(query).fetchone()
        change(settings, ddl.replace('"behind"', "ed_visits") + " without rowid")
        change(settings, "insert into ed_visits select * from behind")
    with pytest.raises(SourceError, match=f"ed_visits is {kind}.*remove partition_by"):
        take_snapshot(settings)


def test_a_clock_set_back_does_not_put_a_snapshot_before_the_last(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = take_snapshot(settings).snapshot_id

    class Past(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime(2001, 1, 1, tzinfo=tz)

    monkeypatch.setattr(zones, "datetime", Past)
    second = take_snapshot(settings).snapshot_id
    assert second > first
    assert current(settings) == second


def test_a_source_does_not_vanish_unasked(settings: Settings) -> None:
    first = take_snapshot(settings)
    fewer = replace(settings, sources={"ehr": settings.sources["ehr"]})
    with pytest.raises(SettingsError, match="no longer names the source billing"):
        take_snapshot(fewer)
    assert current(settings) == first.snapshot_id
    assert take_snapshot(fewer, full=True).tables < first.tables


def test_duckdb_finds_the_nulls_of_every_lake_column(settings: Settings) -> None:
    """Of two visits of a month one has a provider: a token and a null, and no other value."""
    change(settings, "update ed_visits set provider_id = 4711 where visit_id = 810028100282")
    take_snapshot(settings)
    wrong = []
    for path in sorted((settings.lake / "current").rglob("*.parquet")):
        table = pq.read_table(path)
        for name, column in zip(table.column_names, table.columns, strict=True):
            found = duckdb.execute(
                f'select count(*) from read_parquet($1) where "{name}" is null', [str(path)]
            ).fetchall()
            if found != [(column.null_count,)]:
                wrong.append(f"{path.parent.name}.{name}")
    assert wrong == []


def test_an_edited_manifest_stops_the_next_night_with_one_sentence(settings: Settings) -> None:
    report = take_snapshot(settings)
    path = settings.lake / "current" / "_manifest.json"
    path.write_text(path.read_text().replace('"dropped": 0', '"dropped": 1', 1))
    with pytest.raises(SnapshotError, match="is not as it was written"):
        take_snapshot(settings)
    assert current(settings) == report.snapshot_id
    assert take_snapshot(settings, full=True).linked_partitions == 0


def test_a_snapshot_is_in_the_audit_log(settings: Settings) -> None:
    report = take_snapshot(settings)
    begun, done = verify_logs(settings)[0].entries[-2:]
    assert (begun.event, begun.outcome, begun.parameters) == (
        "snapshot",
        "begun",
        {"is_full": False},
    )
    assert (done.outcome, done.begun) == ("done", begun.sequence)
    manifest = settings.lake / report.snapshot_id / MANIFEST
    assert done.parameters == {
        "manifest_sha256": sha256_of(manifest),
        "rows": about(report.rows),
        "snapshot_id": report.snapshot_id,
        "tables": report.tables,
    }


def test_two_nights_at_once_are_refused(settings: Settings) -> None:
    def again(_line: str) -> None:
        with pytest.raises(SnapshotError, match="Another snapshot is being taken"):
            take_snapshot(settings)

    take_snapshot(settings, progress=again)


def test_a_table_ten_times_larger_takes_no_more_memory(tmp_path: Path) -> None:
    """Peak resident memory of a process of its own; most of it is libraries and row groups."""
    peaks = []
    for rows in (100_000, 1_000_000):
        home = tmp_path / str(rows)
        settings = write_installation(home, CONTENT)
        _grow(settings, rows)
        peaks.append(_peak(settings))
    assert peaks[1] < 1.25 * peaks[0], peaks


def _grow(settings: Settings, rows: int) -> None:
    path = settings.home / "sources" / "ehr.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        names = [row[1] for row in connection.execute("pragma table_info(observations)")]
        fixed = {
            "observation_id": "n",
            "patient_id": "710017100171",
            "hospital_id": "'H1'",
            "observation_code": "'8867-4'",
            "value": "'72'",
            "unit_code": "'/min'",
        }
        moment = "'2024-03-05T08:00:00+00:00'"
        fixed |= dict.fromkeys(("observed_at", "created_at", "updated_at"), moment)
        values = ", ".join(fixed.get(name, "null") for name in names)
        connection.execute(
            f"with recursive c(n) as (select 1 union all select n + 1 from c where n < {rows}) "
            f"insert into observations select {values} from c"
        )


def _peak(settings: Settings) -> int:
    script = CHILD.replace(
        "take_snapshot(load_settings",
        "r = take_snapshot(load_settings",
    )
    script += "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    done = subprocess.run(
        [sys.executable, "-c", script, str(settings.home), "none", "0"],
        cwd=PROJECT_ROOT,
        env=os.environ | {"PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        check=True,
    )
    return int(done.stdout)


def test_a_copy_of_an_installation_is_read_as_it_is(settings: Settings, tmp_path: Path) -> None:
    """Settings name places relative to the home: it can be moved."""
    take_snapshot(settings)
    moved = tmp_path / "moved"
    shutil.copytree(settings.home, moved, symlinks=True)
    assert take_snapshot(load_settings(moved)).linked_partitions > 0
