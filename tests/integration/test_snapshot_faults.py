"""A night that is killed, has no room, or meets a database that is not as declared."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from extract import partitions, snapshot
from extract.convert import Converter, Tally
from extract.identity.tokens import KEY_FILE
from extract.snapshot import take_snapshot
from extract.sources.base import RawBatch
from extract.sources.sqlite import SqliteSource
from extract.verify import verify_snapshot
from governance.errors import (
    KeyFileError,
    ReconciliationError,
    ScutariError,
    SettingsError,
    SnapshotError,
    SourceError,
)
from governance.settings import PROJECT_ROOT, Settings, SourceSettings
from tests.helpers.nights import CHILD, CONTENT, MARCH, change, current, leftovers
from tests.helpers.operational import write_installation

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return write_installation(tmp_path / "home", CONTENT)


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
