"""Code lists come from the previous snapshot for as long as their packages stay the same."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pyarrow as pa
import pytest

from demo.schema import TABLES, sqlite_ddl
from extract import snapshot
from extract.reference import reference_versions
from governance.settings import Settings, SourceSettings


class AskedError(Exception):
    pass


def refuse(_: str) -> pa.Table:
    raise AskedError


def settings_of(home: Path) -> Settings:
    path = home / "ehr.sqlite"
    with sqlite3.connect(path) as connection:
        for table in TABLES["ehr"].values():
            connection.execute(sqlite_ddl(table))
    return Settings(home, {"ehr": SourceSettings("ehr", "sqlite", path=path)}, is_synthetic=True)


def test_packages_are_read_once_and_again_only_when_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path)
    first = snapshot.take_snapshot(settings).snapshot_id
    monkeypatch.setattr(snapshot, "reference_table_apart", refuse)
    second = snapshot.take_snapshot(settings).snapshot_id
    for name in reference_versions():
        files = [
            settings.lake / one / "reference" / name / "all.parquet" for one in (first, second)
        ]
        assert files[0].read_bytes() == files[1].read_bytes()

    with pytest.raises(AskedError):
        snapshot.take_snapshot(settings, full=True)

    newer = {name: f"{text} and more" for name, text in reference_versions().items()}
    monkeypatch.setattr(snapshot, "reference_versions", lambda: newer)
    with pytest.raises(AskedError):
        snapshot.take_snapshot(settings)


def test_a_list_that_was_changed_on_disk_is_not_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path)
    first = snapshot.take_snapshot(settings).snapshot_id
    file = settings.lake / first / "reference" / "icd10cm" / "all.parquet"
    file.write_bytes(file.read_bytes() + b"x")
    monkeypatch.setattr(snapshot, "reference_table_apart", refuse)
    with pytest.raises(AskedError):
        snapshot.take_snapshot(settings)
