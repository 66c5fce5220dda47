"""Opening the vault: its keyring, and the versions from before there was one.

A vault filled before it was encrypted is encrypted once, version by version, with every person id
as it was. Each version is written beside the plain one under a hidden name and then takes its
place; a kill in between is mended at the next opening. The keyring names the versions that are
still to do, under its signature: a plain version that turns up later is refused.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from extract.identity.key_provider import KeyProvider
from extract.identity.keyring import (
    KEYRING,
    Keyring,
    create_keyring,
    read_keyring,
    write_keyring,
)
from extract.identity.version import BATCH_ROWS, RECORD, NewVersion, SealedFile
from extract.partitions import ParquetFile
from governance.errors import KeyFileError, VaultError
from governance.files import sync

VERSIONS = "versions"
Progress = Callable[[str], None]


def open_vault(vault: Path, provider: KeyProvider, progress: Progress = lambda _: None) -> Keyring:
    """Open the vault's keyring, made on the first run; encrypt what is still plain.

    Args:
        vault: the vault; held by the caller against other writers.
        provider: who holds the master keys.
        progress: is told where plain versions are encrypted.

    Raises:
        KeyFileError: the keyring or its master key is missing or another.
        VaultError: a plain version cannot be read.
    """
    versions = vault / VERSIONS
    _mend(versions)
    if (vault / KEYRING).is_file():
        keyring = read_keyring(vault, provider)
    else:
        for version in _versions(versions):
            if (version / RECORD).exists():
                raise KeyFileError(
                    f"The keyring {vault / KEYRING} is missing, and nothing in the vault can be "
                    "read without it: restore it from the vault's backup."
                )
        plain = tuple(version.name for version in _versions(versions))
        keyring = create_keyring(vault, provider, plain)
    if not keyring.plain_versions:
        return keyring
    _encrypt_versions(versions, keyring, progress)
    keyring = replace(keyring, plain_versions=())
    write_keyring(vault, keyring, provider)
    return keyring


def _versions(versions: Path) -> list[Path]:
    if not versions.is_dir():
        return []
    return sorted(p for p in versions.iterdir() if p.is_dir() and not p.name.startswith("."))


def _mend(versions: Path) -> None:
    """End what a kill between the two renames of a version left."""
    for aside in versions.glob(".*.plain"):
        target = versions / aside.name.removeprefix(".").removesuffix(".plain")
        if target.exists():
            shutil.rmtree(aside)
        else:
            os.rename(aside, target)
    for begun in versions.glob(".*.tmp"):
        shutil.rmtree(begun)


def _encrypt_versions(versions: Path, keyring: Keyring, progress: Progress) -> None:
    todo = [v for v in _versions(versions) if v.name in keyring.plain_versions]
    todo = [v for v in todo if not (v / RECORD).exists()]
    if todo:
        progress(
            f"vault: {len(todo):,} versions from before it was encrypted are encrypted now; "
            "person ids stay as they are"
        )
    done: dict[tuple[int, int], tuple[Path, SealedFile]] = {}
    for version in todo:
        new = NewVersion(versions / f".{version.name}.tmp", keyring)
        new.directory.mkdir(mode=0o700)
        for path in _files(version):
            _encrypt(version / path, path, new, done)
        new.close(version.name)
        for directory, _, _ in os.walk(new.directory):
            sync(Path(directory))
        aside = versions / f".{version.name}.plain"
        os.rename(version, aside)
        os.rename(new.directory, version)
        sync(versions)
        shutil.rmtree(aside)
        # What was written under the hidden name is found under the version's from here on.
        for key, (file, sealed) in done.items():
            if file.is_relative_to(new.directory):
                done[key] = version / file.relative_to(new.directory), sealed


def _files(version: Path) -> Iterator[str]:
    for file in sorted(version.rglob("*.parquet")):
        yield str(file.relative_to(version))


def _encrypt(
    plain: Path,
    path: str,
    new: NewVersion,
    done: dict[tuple[int, int], tuple[Path, SealedFile]],
) -> None:
    """Encrypt one file; one that several versions share stays shared."""
    information = plain.stat()
    inode = information.st_dev, information.st_ino
    if inode in done:
        shared, sealed = done[inode]
        target = new.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(shared, target)
        new.files[path] = sealed
        return
    try:
        with pq.ParquetFile(plain) as reader:
            seal = new.begin(path)
            file = ParquetFile(
                new.directory / path, reader.schema_arrow, encryption=seal.properties
            )
            for batch in reader.iter_batches(BATCH_ROWS):
                file.write(batch)
            file.close()
    except pa.ArrowException:
        raise VaultError(
            f"The vault's file {plain} cannot be read and so not be encrypted: nothing was "
            "changed; restore it from the vault's backup."
        ) from None
    new.finish(seal)
    done[inode] = new.directory / path, new.files[path]
