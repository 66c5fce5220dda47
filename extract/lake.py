"""The lake: one directory per snapshot, its manifest, and the ``current`` link.

``lake/<snapshot_id>/<source>/<table>/<period>.parquet`` and ``_manifest.json``. A snapshot is
written under a hidden temporary name, synced, renamed, and only then ``current`` is switched to it:
a reader sees a whole snapshot or the one before. The manifest is signed with a key derived from the
installation's, so that a changed file cannot be hidden by changing the manifest too.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from extract.identity.tokens import derive_key, key_id
from governance.errors import KeyFileError, SnapshotError
from governance.files import sync

MANIFEST = "_manifest.json"
CURRENT = "current"
FORMAT = 1

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Quarantined:
    """How many values of one column were kept out of one partition, and why."""

    column: str
    reason: str
    is_row_dropped: bool
    rows: int


@dataclass(frozen=True)
class Partition:
    """One period of one table.

    Attributes:
        rows: rows in the lake.
        dropped: rows in quarantine.
        digest: keyed digest of what the database said of the period, the contract and the code
            sets; equal digests mean that the file may be linked instead of written again.
        quarantined: what was kept out.
        emptied: per column, nulls in the lake that are a quarantined value in the source.
        dropped_nulls: per column, nulls among the rows in quarantine.
        erased: rows of persons who were erased.
        erased_nulls: per column, nulls among those.
        expired: rows older than the policy of their table, and what belonged to such rows.
        expired_nulls: per column, nulls among those.
    """

    rows: int
    dropped: int
    digest: str
    quarantined: tuple[Quarantined, ...] = ()
    emptied: dict[str, int] = field(default_factory=dict)
    dropped_nulls: dict[str, int] = field(default_factory=dict)
    erased: int = 0
    erased_nulls: dict[str, int] = field(default_factory=dict)
    expired: int = 0
    expired_nulls: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Amended:
    """What was done to a snapshot after it was taken: when last, how many erasures, why.

    ``expiries`` counts how often retention took rows out.
    """

    at: str
    erasures: int
    reasons: tuple[str, ...]
    expiries: int = 0


@dataclass(frozen=True)
class LakeFile:
    """One file of a snapshot."""

    bytes: int
    rows: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """All that a snapshot says of itself; no value of any patient.

    ``tables`` has the partitions by source, table and period; ``files`` every file by its path
    within the snapshot, the manifest aside; ``token_epoch`` the digit that all its tokens begin
    with; ``tombstones`` the last erasure that is applied to it; ``erased_keys``, by key domain, a
    keyed digest of the erased records that other rows refer to, ``expired_keys`` of the expired
    ones; ``expired_before`` the first day that is kept, by source and table joined by a dot.
    """

    snapshot_id: str
    taken_at: str
    is_synthetic: bool
    contract_hash: str
    key_id: str
    tables: dict[str, dict[str, dict[str, Partition]]]
    files: dict[str, LakeFile]
    token_epoch: str = "a"
    tombstones: str = ""
    erased_keys: dict[str, str] = field(default_factory=dict)
    expired_keys: dict[str, str] = field(default_factory=dict)
    expired_before: dict[str, str] = field(default_factory=dict)
    amended: Amended | None = None

    def partition(self, source: str, table: str, period: str) -> Partition | None:
        """Return one partition, or None where the snapshot has none."""
        return self.tables.get(source, {}).get(table, {}).get(period)


def write_manifest(directory: Path, manifest: Manifest, key: bytes) -> None:
    """Write a snapshot's manifest, signed and synced; it is the last file of a snapshot."""
    body = {"format": FORMAT, **asdict(manifest)}
    body["signature"] = _signature(body, key)
    path = directory / MANIFEST
    path.write_text(json.dumps(body, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    sync(path)
    sync(directory)


def read_manifest(directory: Path, key: bytes | None) -> Manifest:
    """Read a snapshot's manifest and check its signature.

    Args:
        directory: the snapshot.
        key: the token key; None where the reader has no business with the vault, and the signature
            is not checked.

    Raises:
        KeyFileError: the key is not the one the snapshot was taken with.
        SnapshotError: it is missing, no manifest, of another format, or not as it was signed.
    """
    path = directory / MANIFEST
    try:
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        signature = body.pop("signature")
    except FileNotFoundError:
        raise SnapshotError(
            f"{directory} has no {MANIFEST}: it is no whole snapshot; take a new one."
        ) from None
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise SnapshotError(f"{path} cannot be read as a manifest: take a new snapshot.") from None
    if key is not None and body.get("key_id") != key_id(key):
        raise KeyFileError(
            f"The snapshot {directory.name} was taken with another token key than the one in the "
            "vault: restore that key from the backup; with another, every record and every link "
            "would change."
        )
    if key is not None and not hmac.compare_digest(str(signature), _signature(body, key)):
        raise SnapshotError(
            f"{path} is not as it was written (its signature does not fit the token key): "
            "restore the snapshot from a backup or take a new one."
        )
    if body.pop("format", None) != FORMAT:
        raise SnapshotError(f"{path} has another format than this version reads.")
    tables = {
        source: {
            table: {period: _partition(value) for period, value in periods.items()}
            for table, periods in tables.items()
        }
        for source, tables in body.pop("tables").items()
    }
    files = {name: LakeFile(**value) for name, value in body.pop("files").items()}
    amended = body.pop("amended", None)
    if amended is not None:
        amended = Amended(**amended | {"reasons": tuple(amended["reasons"])})
    return Manifest(tables=tables, files=files, amended=amended, **body)


def current_directory(lake: Path) -> Path | None:
    """Return the directory that ``current`` names, or None where there is none."""
    link = lake / CURRENT
    return link.resolve() if link.is_symlink() and link.exists() else None


def snapshot_directory(lake: Path, snapshot_id: str | None) -> Path:
    """Return the directory of a snapshot, by default the current one.

    Raises:
        SnapshotError: there is none of that name.
    """
    if snapshot_id is None:
        current = current_directory(lake)
        if current is None:
            raise SnapshotError(
                f"There is no snapshot in {lake}: take one with `scutari snapshot`."
            )
        return current
    directory = lake / snapshot_id
    if snapshot_id not in snapshot_ids(lake):
        raise SnapshotError(
            f"There is no snapshot {snapshot_id} in {lake}: `scutari status` lists them."
        )
    return directory


def snapshot_ids(lake: Path) -> list[str]:
    """Return the ids of all snapshots, oldest first."""
    if not lake.is_dir():
        return []
    return sorted(
        path.name
        for path in lake.iterdir()
        if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")
    )


def switch(link: Path, target: str) -> None:
    """Point a symbolic link at another directory beside it, in one step."""
    temporary = link.with_name(f".{link.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    os.replace(temporary, link)
    sync(link.parent)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _partition(value: dict[str, Any]) -> Partition:
    quarantined = tuple(Quarantined(**item) for item in value.pop("quarantined"))
    return Partition(quarantined=quarantined, **value)


def _signature(body: dict[str, Any], key: bytes) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hmac.digest(derive_key(key, "manifest"), text.encode(), "sha256").hex()
