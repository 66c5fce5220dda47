"""A snapshot is whole or absent, keeps what it must and nothing else, and says what went wrong."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from extract import codes, partitions, snapshot, zones
from extract.convert import Converter, Tally
from extract.identity.tokens import KEY_FILE
from extract.lake import MANIFEST, sha256_of
from extract.snapshot import take_snapshot
from extract.sources.base import RawBatch
from extract.sources.sqlite import SqliteSource
from extract.verify import verify_snapshot
from governance.audit.events import about
from governance.audit.verify import verify_logs
from governance.errors import (
    KeyFileError,
    ReconciliationError,
    ScutariError,
    SettingsError,
    SnapshotError,
    SourceError,
)
from governance.settings import PROJECT_ROOT, Settings, SourceSettings, load_settings
from tests.helpers.operational import write_installation
from tests.helpers.vault import current_vault, read_vault

pytestmark = pytest.mark.integration

MARCH, APRIL = datetime(2024, 3, 5, 8, tzinfo=UTC), datetime(2024, 4, 5, 8, tzinfo=UTC)
CONTENT: dict[str, dict[str, list[dict[str, Any]]]] = {
    "ehr": {
        "hospitals": [{"hospital_id": "H1"}],
        "feeds": [{"hospital_id": "H1", "data_through_at": APRIL}],
        "patients": [
            {"patient_id": 710_017_100_171, "hospital_id": "H1", "health_number": "HN-CANARY-1"},
            {"patient_id": 710_027_100_272, "hospital_id": "H1", "first_name": "Canaria"},
        ],
        "ed_visits": [
            {
                "visit_id": 810_018_100_181,
                "hospital_id": "H1",
                "patient_id": 710_017_100_171,
                "arrived_at": MARCH,
            },
            {
                "visit_id": 810_028_100_282,
                "hospital_id": "H1",
                "patient_id": 710_027_100_272,
                "arrived_at": APRIL,
            },
            {
                "visit_id": 810_038_100_383,
                "hospital_id": "H1",
                "patient_id": 710_027_100_272,
                "arrived_at": APRIL,
                "complaint_code": "call canary@example.org",
            },
        ],
    },
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return write_installation(tmp_path / "home", CONTENT)


def change(settings: Settings, statement: str, source: str = "ehr") -> None:
    path = settings.home / "sources" / f"{source}.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def current(settings: Settings) -> str:
    return os.readlink(settings.lake / "current")


def visits(settings: Settings) -> pl.DataFrame:
    files = sorted((settings.lake / "current" / "ehr" / "ed_visits").glob("*.parquet"))
    return pl.concat([pl.read_parquet(file) for file in files])


def leftovers(settings: Settings) -> list[Path]:
    return [path for path in settings.home.rglob("*.tmp") if path.name.startswith(".")]


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


CHILD = """
import os, signal, sys
from pathlib import Path
from extract import snapshot
from extract.snapshot import take_snapshot
from governance.settings import load_settings
import pyarrow as pa
lists = {"icd10cm": pa.table({"code": ["I214"]})}
snapshot.reference_table_apart = lambda name: lists[name]
snapshot.reference_versions = dict
point, count = sys.argv[2], int(sys.argv[3])
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
def progress(_):
    global count
    count -= 1
    if point == "line" and count == 0:
        die()
if point == "rename":
    real = os.rename
    def rename(*arguments):
        global count
        count -= 1
        if count < 0:
            die()
        real(*arguments)
    os.rename = rename
if point == "match":
    from extract.identity.matching import grouping
    setattr(grouping, ("cluster", "_write_review")[count], die)
if point == "manifest":
    snapshot.write_manifest = die
if point == "switch":
    real_switch = snapshot.switch
    def switch(*arguments):
        global count
        count -= 1
        if count < 0:
            die()
        real_switch(*arguments)
    snapshot.switch = switch
take_snapshot(load_settings(Path(sys.argv[1])), full=True, progress=progress)
"""


@pytest.mark.parametrize(
    ("point", "count"),
    [
        ("line", 1),
        ("line", 12),
        ("match", 0),
        ("match", 1),
        ("manifest", 0),
        ("rename", 0),
        ("rename", 1),
        ("rename", 2),
        ("rename", 3),
        ("switch", 0),
        ("switch", 1),
    ],
)
def test_a_killed_night_leaves_the_last_good_one(
    settings: Settings, point: str, count: int
) -> None:
    first = take_snapshot(settings)
    people = pl.read_parquet(settings.lake / "current/identity/person_map/all.parquet")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(settings.home), point, str(count)],
        cwd=PROJECT_ROOT,
        env=os.environ | {"PYTHONPATH": str(PROJECT_ROOT)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert current(settings) == first.snapshot_id
    assert verify_snapshot(settings).snapshot_id == first.snapshot_id
    second = take_snapshot(settings)
    assert current(settings) == second.snapshot_id != first.snapshot_id
    assert second.linked_partitions == second.partitions
    assert leftovers(settings) == []
    for folder in ("quarantine", "matching"):
        kept = {path.name for path in (settings.restricted / folder).iterdir()}
        assert kept <= set(os.listdir(settings.lake))
    same = pl.read_parquet(settings.lake / "current/identity/person_map/all.parquet")
    assert same.equals(people)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_one_sentence(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    first = take_snapshot(settings)

    def full(_path: Path) -> None:
        raise OSError(code, "No space left on device")

    monkeypatch.setattr(partitions, "sync", full)
    with pytest.raises(SnapshotError) as caught:
        take_snapshot(settings, full=True)
    assert str(caught.value) == (
        f"The snapshot could not be written under {settings.home} (the disk is full): the last "
        "good one stays current; free space or mend the directory and run `scutari snapshot` again."
    )
    assert current(settings) == first.snapshot_id
    assert leftovers(settings) == []


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


class LosesARow(SqliteSource):
    def read(self, table: Any, period: str) -> Iterator[RawBatch]:
        for batch in super().read(table, period):
            if table.name == "patients":
                yield RawBatch(batch.rows.slice(1), batch.misfits)
            else:
                yield batch


def test_a_row_lost_on_the_way_discards_the_snapshot(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = take_snapshot(settings)
    monkeypatch.setattr(snapshot, "open_source", LosesARow)
    with pytest.raises(ReconciliationError) as caught:
        take_snapshot(settings, full=True)
    assert "ehr.patients row_count" in str(caught.value)
    assert current(settings) == first.snapshot_id
    assert leftovers(settings) == []


@pytest.mark.parametrize(
    ("name", "check"), [("sequence_number", "sum"), ("recorded_at", "null_count")]
)
def test_a_changed_value_discards_the_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, check: str
) -> None:
    diagnosis = {"visit_id": 810_018_100_181, "diagnosis_code": "I21.4", "recorded_at": MARCH}
    ehr = CONTENT["ehr"] | {"ed_visit_diagnoses": [diagnosis]}
    settings = write_installation(tmp_path / "home", {"ehr": ehr})
    real = Converter.convert

    def spoiled(self: Converter, raw: RawBatch, tally: Tally) -> Any:
        converted = real(self, raw, tally)
        lake = converted.lake
        if name not in lake.schema.names:
            return converted
        if check == "sum":
            tally.sums[name] += 1
            return converted
        empty = pl.Series([None] * lake.num_rows).to_arrow().cast(lake.schema.field(name).type)
        place = lake.schema.get_field_index(name)
        return replace(converted, lake=lake.set_column(place, lake.schema.field(name), empty))

    monkeypatch.setattr(Converter, "convert", spoiled)
    with pytest.raises(ReconciliationError, match=f"ehr.ed_visit_diagnoses {check} of {name}"):
        take_snapshot(settings)
    assert not (settings.lake / "current").exists()


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("drop table feeds", "table feeds is missing (declared at models/staging/ehr/"),
        (
            "alter table patients drop column sex_code",
            "table patients has no column sex_code (declared at models/staging/ehr/",
        ),
    ],
)
def test_a_database_that_is_not_as_declared_is_refused(
    settings: Settings, statement: str, sentence: str
) -> None:
    first = take_snapshot(settings)
    change(settings, statement)
    with pytest.raises(SourceError) as caught:
        take_snapshot(settings)
    assert f"Source ehr is not as its contract says: {sentence}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert current(settings) == first.snapshot_id


def test_a_column_of_another_type_is_refused(settings: Settings) -> None:
    change(settings, "alter table feeds rename to old_feeds")
    change(
        settings,
        "create table feeds (feed_id integer primary key, hospital_id text, feed_name text, "
        "data_through_at text, created_at text, updated_at text)",
    )
    with pytest.raises(SourceError, match=r"column feeds\.feed_id is INTEGER, declared as string"):
        take_snapshot(settings)


def test_a_key_that_stands_twice_is_refused_without_naming_it(settings: Settings) -> None:
    change(settings, "create table copied as select * from patients")
    change(settings, "insert into copied select * from patients where patient_id = 710017100171")
    change(settings, "drop table patients")
    change(settings, "alter table copied rename to patients")
    with pytest.raises(SourceError) as caught:
        take_snapshot(settings)
    assert "1 values of patients.patient_id stand in more than one row" in str(caught.value)
    assert "710017100171" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "error", "sentence"),
    [
        (SourceSettings("ehr", "sqlite", path=Path("/nowhere/x.sqlite")), SourceError, "there is"),
        (
            SourceSettings("pharmacy", "sqlite", path=Path("x")),
            SettingsError,
            "names the source pharmacy, which no contract declares",
        ),
        (SourceSettings("ehr", "postgresql"), SettingsError, "without a connection string"),
    ],
)
def test_a_source_out_of_reach_is_one_sentence(
    settings: Settings, source: SourceSettings, error: type[ScutariError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        take_snapshot(replace(settings, sources={source.name: source}))


def test_a_file_that_is_no_database_is_refused(settings: Settings) -> None:
    path = settings.home / "sources" / "ehr.sqlite"
    path.write_bytes(b"a spreadsheet" * 1000)
    with pytest.raises(SourceError, match="could not be opened"):
        take_snapshot(settings)


def test_keys_are_guarded(settings: Settings) -> None:
    take_snapshot(settings)
    key = settings.vault / KEY_FILE
    assert key.stat().st_mode & 0o777 == 0o600
    assert settings.vault.stat().st_mode & 0o777 == 0o700
    assert settings.restricted.stat().st_mode & 0o777 == 0o700
    good = key.read_bytes()
    key.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        take_snapshot(settings)
    key.unlink()
    with pytest.raises(KeyFileError, match="is missing"):
        take_snapshot(settings)
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    with pytest.raises(KeyFileError, match="is not the one this installation was filled with"):
        take_snapshot(settings)
    key.write_bytes(good)
    assert take_snapshot(settings).linked_partitions > 0


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
