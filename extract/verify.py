"""Checking a snapshot against its manifest, long after it was taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from extract.identity.epochs import key_of_snapshot
from extract.identity.key_provider import load_provider
from extract.identity.keyring import KEYRING, read_keyring
from extract.identity.opening import VERSIONS
from extract.identity.version import RECORD, open_version
from extract.lake import MANIFEST, Amended, LakeFile, read_manifest, sha256_of, snapshot_directory
from governance.errors import SnapshotError
from governance.settings import Settings

FAULTS_NAMED = 5


@dataclass(frozen=True)
class VerifyReport:
    """A snapshot all of whose files are as they were written, or amended since."""

    snapshot_id: str
    files: int
    rows: int
    size: int
    amended: Amended | None = None

    def __str__(self) -> str:
        return (
            f"snapshot {self.snapshot_id}: all {self.files:,} files are as they were written "
            f"({self.rows:,} rows, {self.size:,} bytes){amendment(self.amended)}"
        )


def amendment(amended: Amended | None) -> str:
    """Return what is to be added where a snapshot is not as it was taken."""
    if amended is None:
        return ""
    many = "an erasure" if amended.erasures == 1 else f"{amended.erasures:,} erasures"
    by = [many] * bool(amended.erasures) + ["retention"] * bool(amended.expiries)
    why = f" ({', '.join(amended.reasons)})" if amended.reasons else ""
    return f"; amended by {' and '.join(by)}, last at {amended.at}{why}"


def verify_snapshot(
    settings: Settings, snapshot_id: str | None = None, *, with_key: bool = True
) -> VerifyReport:
    """Check that a snapshot holds exactly the files of its manifest, byte for byte.

    With the key, its version of the vault is checked in the same way.

    Args:
        settings: the installation.
        snapshot_id: the snapshot; the current one where none is given.
        with_key: check the manifest's signature and the vault, too; takes access to the vault.

    Raises:
        KeyFileError: the token key is missing or another than the snapshot was taken with.
        SnapshotError: there is no such snapshot, or it is not what its manifest says.
        VaultError: the same of its version of the vault.
    """
    directory = snapshot_directory(settings.lake, snapshot_id)
    key = key_of_snapshot(settings.vault, directory) if with_key else None
    manifest = read_manifest(directory, key)
    faults = list(_faults(directory, manifest.files))
    if manifest.snapshot_id != directory.name:
        faults.insert(0, f"the manifest is that of {manifest.snapshot_id}")
    if faults:
        more = f" and {len(faults) - FAULTS_NAMED} more" if len(faults) > FAULTS_NAMED else ""
        raise SnapshotError(
            f"The snapshot {directory.name} is not as it was written: "
            f"{'; '.join(faults[:FAULTS_NAMED])}{more}. Restore it from a backup, or take a new "
            "one with `scutari snapshot`."
        )
    if with_key:
        _check_vault(settings, directory.name)
    return VerifyReport(
        snapshot_id=directory.name,
        files=len(manifest.files),
        rows=sum(file.rows for file in manifest.files.values()),
        size=sum(file.bytes for file in manifest.files.values()),
        amended=manifest.amended,
    )


def _check_vault(settings: Settings, snapshot_id: str) -> None:
    version = settings.vault / VERSIONS / snapshot_id
    if not (settings.vault / KEYRING).is_file() and not (version / RECORD).is_file():
        return  # from before the vault was encrypted; the next snapshot encrypts it
    keyring = read_keyring(settings.vault, load_provider(settings))
    if snapshot_id not in keyring.plain_versions:
        open_version(version, keyring).check_all()


def _faults(directory: Path, files: dict[str, LakeFile]) -> Iterator[str]:
    found = {
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    for name in sorted(found - set(files) - {MANIFEST}):
        yield f"{name} does not belong to it"
    for name in sorted(set(files) - found):
        yield f"{name} is missing"
    for name in sorted(set(files) & found):
        fault = _fault(directory / name, files[name])
        if fault is not None:
            yield f"{name} {fault}"


def _fault(path: Path, expected: LakeFile) -> str | None:
    if path.is_symlink():
        return "is a link"
    try:
        if path.stat().st_size != expected.bytes:
            return "has another size"
        if sha256_of(path) != expected.sha256:
            return "has other content"
        if pq.read_metadata(path).num_rows != expected.rows:
            return "has another number of rows"
    except (OSError, pa.ArrowException) as error:
        return f"cannot be read ({type(error).__name__})"
    return None
