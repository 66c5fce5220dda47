"""The vault in tests: a key-management service that never hands a key out, and a reader."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import polars as pl
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from extract.identity.key_provider import load_provider
from extract.identity.keyring import Keyring, read_keyring
from extract.identity.version import Version, open_version
from governance.settings import Settings


class Service:
    """Plays a key-management service: keys by number, kept for the whole process by address."""

    keys: ClassVar[dict[str, dict[str, bytes]]] = {}

    def __init__(self, options: Mapping[str, str]) -> None:
        self._keys = self.keys.setdefault(options["url"], {})

    def create(self) -> str:
        name = f"kms/{len(self._keys) + 1}"
        self._keys[name] = os.urandom(32)
        return name

    def wrap(self, master_key_id: str, data_key: bytes, context: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + AESGCM(self._keys[master_key_id]).encrypt(nonce, data_key, context)

    def unwrap(self, master_key_id: str, wrapped: bytes, context: bytes) -> bytes:
        return AESGCM(self._keys[master_key_id]).decrypt(wrapped[:12], wrapped[12:], context)


def keyring() -> Keyring:
    """A keyring of one data key, without a place on disk."""
    return Keyring("m", "d", {"d": bytes(range(32))})


def current_vault(settings: Settings) -> Version:
    """The version in force, opened with the installation's keys."""
    ring = read_keyring(settings.vault, load_provider(settings))
    return open_version((settings.vault / "current").resolve(), ring)


def read_vault(version: Version, path: str) -> pl.DataFrame:
    """All rows of one file of the vault."""
    frame = pl.from_arrow(pa.Table.from_batches(version.batches(path)))
    assert isinstance(frame, pl.DataFrame)
    return frame


def flip(file: Path, place: int) -> None:
    """Change one bit of a file."""
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.unlink()  # a hard link of other versions stays as it is
    file.write_bytes(data)
