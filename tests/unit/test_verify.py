"""A snapshot that is not as it was written is refused, whatever was done to it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from extract.identity.tokens import KEY_FILE, key_id, load_or_create_key
from extract.lake import (
    CURRENT,
    MANIFEST,
    Manifest,
    Partition,
    read_manifest,
    switch,
    write_manifest,
)
from extract.partitions import describe_file, write_table
from extract.status import describe_status
from extract.verify import verify_snapshot
from governance.errors import KeyFileError, SnapshotError
from governance.settings import Settings, SourceSettings

NAME = "20260701T031500Z"
FILE = "ehr/visits/2026-06.parquet"
OTHER = "ehr/visits/2026-07.parquet"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    source = SourceSettings("ehr", "postgresql", dsn_env="SCUTARI_TEST_DSN")
    made = Settings(home=tmp_path, sources={"ehr": source})
    key = load_or_create_key(made.vault, allow_create=True)
    directory = made.lake / NAME
    files = {}
    for path, rows in ((FILE, 3), (OTHER, 2)):
        write_table(directory / path, pa.table({"a": list(range(rows))}))
        files[path] = describe_file(directory / path)
    periods = {"2026-06": Partition(3, 1, "x"), "2026-07": Partition(2, 0, "y")}
    manifest = Manifest(
        snapshot_id=NAME,
        taken_at="2026-07-01T03:15:00+00:00",
        is_synthetic=True,
        contract_hash="c",
        key_id=key_id(key),
        tables={"ehr": {"visits": periods}},
        files=files,
    )
    write_manifest(directory, manifest, key)
    switch(made.lake / CURRENT, NAME)
    return made


def test_a_whole_snapshot_is_described(settings: Settings) -> None:
    report = verify_snapshot(settings)
    assert (report.snapshot_id, report.files, report.rows) == (NAME, 2, 5)
    assert str(verify_snapshot(settings, NAME)).startswith(
        f"snapshot {NAME}: all 2 files are as they were written (5 rows, "
    )


def test_the_manifest_comes_back_as_it_was_written(settings: Settings) -> None:
    key = load_or_create_key(settings.vault, allow_create=False)
    manifest = read_manifest(settings.lake / NAME, key)
    assert manifest.partition("ehr", "visits", "2026-06") == Partition(3, 1, "x")
    assert manifest.partition("ehr", "visits", "2026-08") is None
    assert manifest.files[FILE].rows == 3


def _flip(directory: Path) -> None:
    path = directory / FILE
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _truncate(directory: Path) -> None:
    os.truncate(directory / FILE, 10)


def _link(directory: Path) -> None:
    (directory / FILE).unlink()
    (directory / FILE).symlink_to(directory / OTHER)


def _add(directory: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), directory / "ehr/visits/2026-08.parquet")


@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        (_flip, f"{FILE} has other content"),
        (_truncate, f"{FILE} has another size"),
        (_link, f"{FILE} is a link"),
        (_add, "ehr/visits/2026-08.parquet does not belong to it"),
        (lambda directory: (directory / FILE).unlink(), f"{FILE} is missing"),
    ],
)
def test_a_changed_file_is_named(
    settings: Settings, tamper: Callable[[Path], None], fault: str
) -> None:
    tamper(settings.lake / NAME)
    with pytest.raises(SnapshotError) as caught:
        verify_snapshot(settings)
    assert str(caught.value) == (
        f"The snapshot {NAME} is not as it was written: {fault}. Restore it from a backup, or "
        "take a new one with `scutari snapshot`."
    )


@pytest.mark.parametrize("field", ["taken_at", "snapshot_id", "contract_hash", "is_synthetic"])
def test_an_edited_manifest_is_refused(settings: Settings, field: str) -> None:
    path = settings.lake / NAME / MANIFEST
    body = json.loads(path.read_text())
    body[field] = not body[field] if isinstance(body[field], bool) else body[field] + "0"
    path.write_text(json.dumps(body))
    with pytest.raises(SnapshotError, match="signature does not fit"):
        verify_snapshot(settings)


def test_a_count_in_the_manifest_cannot_be_changed(settings: Settings) -> None:
    path = settings.lake / NAME / MANIFEST
    path.write_text(path.read_text().replace('"dropped": 1', '"dropped": 0'))
    with pytest.raises(SnapshotError, match="signature does not fit"):
        verify_snapshot(settings)


def test_a_directory_under_another_name_is_refused(settings: Settings) -> None:
    (settings.lake / NAME).rename(settings.lake / "20260702T031500Z")
    with pytest.raises(SnapshotError, match=f"the manifest is that of {NAME}"):
        verify_snapshot(settings, "20260702T031500Z")


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json"])
def test_a_file_that_is_no_manifest_is_refused(settings: Settings, text: str) -> None:
    (settings.lake / NAME / MANIFEST).write_text(text)
    with pytest.raises(SnapshotError, match="cannot be read as a manifest"):
        verify_snapshot(settings)


def test_a_directory_without_manifest_is_refused(settings: Settings) -> None:
    (settings.lake / NAME / MANIFEST).unlink()
    with pytest.raises(SnapshotError, match="has no _manifest"):
        verify_snapshot(settings)


def test_another_key_is_named_as_the_cause(settings: Settings) -> None:
    (settings.vault / KEY_FILE).write_bytes(bytes(32))
    with pytest.raises(KeyFileError, match="taken with another token key"):
        verify_snapshot(settings)


@pytest.mark.parametrize("name", ["20250101T000000Z", "../vault", ".", CURRENT])
def test_an_unknown_snapshot_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(SnapshotError, match="There is no snapshot"):
        verify_snapshot(settings, name)


def test_an_installation_without_snapshot_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="take one with `scutari snapshot`"):
        verify_snapshot(Settings(home=tmp_path))


def test_status_tells_sources_and_snapshots_without_a_secret(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCUTARI_TEST_DSN", "postgresql://u:hidden@localhost/db")
    text = describe_status(settings)
    assert "hidden" not in text
    assert "ehr: PostgreSQL, schema public, connection string in SCUTARI_TEST_DSN" in text
    assert f"{NAME} (current): taken 2026-07-01T03:15:00+00:00, 2 files, 5 rows" in text
    assert "last green build: none; run `scutari build`" in text
    assert "published: nothing; run `scutari publish`" in text


def test_status_of_an_empty_installation_says_what_to_do(tmp_path: Path) -> None:
    source = SourceSettings("ehr", "sqlite", path=tmp_path / "absent.sqlite")
    text = describe_status(Settings(home=tmp_path, sources={"ehr": source}))
    assert "none yet: take one with `scutari snapshot`" in text
    assert "absent.sqlite, absent" in text
