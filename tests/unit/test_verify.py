"""A snapshot that is not as it was written is refused, whatever was done to it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from extract.identity.tokens import KEY_FILE, load_or_create_key
from extract.lake import CURRENT, MANIFEST, LakeFile, read_manifest, sha256_of, write_manifest
from extract.verify import verify_snapshot
from governance.errors import KeyFileError, SnapshotError
from governance.settings import Settings
from tests.helpers.small_snapshot import FILE, NAME, OTHER, small_settings, write_snapshot


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = small_settings(tmp_path)
    write_snapshot(made)
    return made


def test_a_whole_snapshot_is_described(settings: Settings) -> None:
    report = verify_snapshot(settings)
    assert (report.snapshot_id, report.files, report.rows) == (NAME, 2, 5)
    assert str(verify_snapshot(settings, NAME)).startswith(
        f"snapshot {NAME}: all 2 files are as they were written (5 rows, "
    )


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


def _link_folder(directory: Path) -> None:
    (directory / "ehr").rename(directory.parent.parent / "elsewhere")
    (directory / "ehr").symlink_to(directory.parent.parent / "elsewhere")


def _pipe(directory: Path) -> None:
    (directory / FILE).unlink()
    os.mkfifo(directory / FILE)


def _hide(directory: Path) -> None:
    (directory / "ehr" / ".visits.csv").write_text("patient")


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
        (
            _link_folder,
            f"ehr does not belong to it; {FILE} is missing; {OTHER} is missing",
        ),
        (_pipe, f"{FILE} has another size"),
        (_hide, "ehr/.visits.csv does not belong to it"),
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


def test_five_faults_are_named_and_the_rest_counted(settings: Settings) -> None:
    for number in range(5):
        (settings.lake / NAME / f"extra-{number}").touch()
    _flip(settings.lake / NAME)
    (settings.lake / NAME / OTHER).unlink()
    with pytest.raises(SnapshotError) as caught:
        verify_snapshot(settings)
    named = "; ".join(f"extra-{number} does not belong to it" for number in range(5))
    assert f"not as it was written: {named} and 2 more. Restore it" in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "content", "fault"),
    [
        (4, None, "has another number of rows"),
        (3, b"PAR1 and nothing else", "cannot be read (ArrowInvalid)"),
    ],
)
def test_a_manifest_that_was_signed_wrong_is_found_out(
    settings: Settings, rows: int, content: bytes | None, fault: str
) -> None:
    """Bytes and signature agree; only the Parquet file itself tells."""
    directory = settings.lake / NAME
    if content is not None:
        (directory / FILE).write_bytes(content)
    path = directory / FILE
    key = load_or_create_key(settings.vault, allow_create=False)
    manifest = read_manifest(directory, key)
    files = manifest.files | {FILE: LakeFile(path.stat().st_size, rows, sha256_of(path))}
    write_manifest(directory, replace(manifest, files=files), key)
    with pytest.raises(SnapshotError) as caught:
        verify_snapshot(settings)
    assert f"written: {FILE} {fault}. Restore" in str(caught.value)


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
