"""One version of the vault: encrypted Parquet files and the signed record of what stands where.

A file is Parquet with modular encryption (AES-256-GCM, footer included) under a key of its own. Its
place (``ehr/patients/all``), the id of its data key and its salt are the AAD prefix: the file opens
at no other place. The version's record holds each place's salt and digest under a signature, so
that an older file of the same place does not pass either. A file that has not changed is a hard
link to that of the version before, and the record takes over what was said of it.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

from extract.identity.keyring import Keyring
from extract.lake import sha256_of
from governance.errors import VaultError
from governance.files import is_shared, sync

RECORD = "_record.json"
FORMAT = 1
CIPHER = "AES_GCM_V1"
BATCH_ROWS = 65_536
_SALT_BYTES = 16


@dataclass(frozen=True)
class SealedFile:
    """What the record says of one file."""

    bytes: int
    sha256: str
    data_key_id: str
    salt: str


class Version:
    """A version's files, for reading.

    Args:
        directory: the version.
        keyring: the vault's keys.
        files: what the record says, by path within the version.
        tombstones: the last erasure that is applied to the version.
    """

    def __init__(
        self,
        directory: Path,
        keyring: Keyring,
        files: dict[str, SealedFile],
        tombstones: str = "",
    ) -> None:
        self.directory = directory
        self.keyring = keyring
        self.files = files
        self.tombstones = tombstones

    def check(self, path: str) -> None:
        """Make sure that a file is the one that the record names.

        Raises:
            VaultError: it is not.
        """
        file = self.directory / path
        sealed = self.files.get(path)
        if sealed is None:
            raise _refusal(file, "the version's record does not name it")
        if file.is_symlink() or not file.is_file():
            raise _refusal(file, "it is missing")
        if file.stat().st_size != sealed.bytes:
            raise _refusal(file, "it has another size")
        if sha256_of(file) != sealed.sha256:
            raise _refusal(file, "it has other content")

    def check_all(self) -> None:
        """Make sure that the version holds exactly the files of its record.

        Raises:
            VaultError: it does not.
        """
        for path in sorted(self.files):
            self.check(path)
        for file in sorted(self.directory.rglob("*")):
            name = str(file.relative_to(self.directory))
            if (file.is_symlink() or not file.is_dir()) and name not in {*self.files, RECORD}:
                raise _refusal(file, "the version's record does not name it")

    def batches(self, path: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield a file's rows, decrypted in memory, a batch at a time.

        Raises:
            VaultError: the file is not the one that the record names.
        """
        self.check(path)
        sealed = self.files[path]
        try:
            with pq.ParquetFile(
                self.directory / path,
                decryption_properties=pe.create_decryption_properties(
                    self.keyring.file_key(sealed.data_key_id, sealed.salt),
                    aad_prefix=_aad_prefix(path, sealed),
                ),
            ) as file:
                yield from file.iter_batches(
                    BATCH_ROWS, columns=None if columns is None else list(columns)
                )
        except (OSError, KeyError, pa.ArrowException):
            # The library's text is about bytes, but nothing promises that it stays so.
            raise _refusal(self.directory / path, "no key of the vault opens it here") from None

    def places(self, source: str, table: str) -> list[str]:
        """Return the paths of a table's files."""
        return sorted(path for path in self.files if path.startswith(f"{source}/{table}/"))


class NewVersion(Version):
    """A version while it is being written."""

    def __init__(self, directory: Path, keyring: Keyring, tombstones: str = "") -> None:
        super().__init__(directory, keyring, {}, tombstones)

    def begin(self, path: str) -> Seal:
        """Draw a key for a file that is about to be written."""
        sealed = SealedFile(0, "", self.keyring.active, os.urandom(_SALT_BYTES).hex())
        properties = pe.create_encryption_properties(
            self.keyring.file_key(sealed.data_key_id, sealed.salt),
            aad_prefix=_aad_prefix(path, sealed),
            encryption_algorithm=CIPHER,
        )
        return Seal(path, sealed, properties)

    def finish(self, seal: Seal) -> None:
        """Note a file that was written whole; one that had no rows was never made."""
        file = self.directory / seal.path
        if not file.is_file():
            return
        file.chmod(0o600)
        self.files[seal.path] = SealedFile(
            file.stat().st_size, sha256_of(file), seal.sealed.data_key_id, seal.sealed.salt
        )

    def link(self, path: str, before: Version) -> None:
        """Take over an unchanged file of another version.

        Raises:
            VaultError: it is not the one that was written there.
        """
        before.check(path)
        target = self.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(before.directory / path, target)
        self.files[path] = before.files[path]

    def close(self, snapshot_id: str) -> None:
        """Write and sync the signed record; it is the version's last file."""
        body: dict[str, Any] = {
            "format": FORMAT,
            "snapshot_id": snapshot_id,
            "data_key_id": self.keyring.active,
            "tombstones": self.tombstones,
            "files": {path: asdict(sealed) for path, sealed in sorted(self.files.items())},
        }
        body["signature"] = self.keyring.sign(self.keyring.active, body)
        path = self.directory / RECORD
        path.write_text(json.dumps(body, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        path.chmod(0o600)
        self._let_group_in()
        sync(path)
        sync(self.directory)

    def _let_group_in(self) -> None:
        """Let in whom the vault's directory lets in: the broker, where it has an account."""
        if is_shared(self.directory.parent.parent):
            # Made closed. Its own directories are open already: to change them would take the bit
            # away that hands the group on, for their owner is not in that group.
            self.directory.chmod(0o750)
            for path in self.files:
                (self.directory / path).chmod(0o640)
            (self.directory / RECORD).chmod(0o640)


@dataclass(frozen=True)
class Seal:
    """The key of one file that is being written."""

    path: str
    sealed: SealedFile
    properties: pe.FileEncryptionProperties


def open_version(directory: Path, keyring: Keyring) -> Version:
    """Open a version by its record.

    Raises:
        VaultError: the record is missing, not as it was signed, or another version's.
    """
    path = directory / RECORD
    try:
        body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        signature = str(body.pop("signature"))
        expected = keyring.sign(str(body["data_key_id"]), body)
        files = {str(name): SealedFile(**value) for name, value in body["files"].items()}
    except FileNotFoundError:
        raise VaultError(
            f"The version {directory} of the vault has no record {RECORD}: nothing in it can be "
            "told from what was put there; restore the version from the vault's backup."
        ) from None
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise VaultError(_record_sentence(path)) from None
    if not hmac.compare_digest(signature.encode(), expected.encode()) or body["format"] != FORMAT:
        raise VaultError(_record_sentence(path))
    if body["snapshot_id"] != directory.name:
        raise VaultError(_record_sentence(path))
    return Version(directory, keyring, files, str(body.get("tombstones", "")))


def _aad_prefix(path: str, sealed: SealedFile) -> bytes:
    """Return what a file is bound to; it stands in the file, and no secret in it."""
    return f"scutari vault 1|{path}|{sealed.data_key_id}|{sealed.salt}".encode()


def _refusal(file: Path, fault: str) -> VaultError:
    return VaultError(
        f"The vault's file {file} is not the one that was written there ({fault}): nothing was "
        "changed; restore it from the vault's backup, or, unless it is the crosswalk, read "
        "everything again with `scutari snapshot --full`.",
        fault=fault,
    )


def _record_sentence(path: Path) -> str:
    return (
        f"The vault's record {path} is not as it was written: nothing was changed; restore the "
        "version from the vault's backup."
    )
