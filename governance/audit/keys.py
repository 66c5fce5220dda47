"""The key that signs a log's heads: made once, owner's alone, never made twice."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from governance.errors import KeyFileError

KEY_FILE = "signing.key"
KEY_BYTES = 32


def public_key_of(key: Ed25519PrivateKey) -> str:
    """Return the public half of a key in hexadecimal."""
    return key.public_key().public_bytes_raw().hex()


def read_key(folder: Path) -> Ed25519PrivateKey | None:
    """Return the signing key of a log, or None where there is none.

    Raises:
        KeyFileError: it can be opened by others than its owner, or is no key.
    """
    path = folder / KEY_FILE
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(
            f"The audit log's key {path} can be opened by other accounts than its owner: "
            f"run `chmod 600 {path}`."
        )
    raw = path.read_bytes()
    if len(raw) != KEY_BYTES:
        raise KeyFileError(
            f"The audit log's key {path} holds {len(raw)} bytes instead of {KEY_BYTES}: restore "
            "it from the backup."
        )
    return Ed25519PrivateKey.from_private_bytes(raw)


def write_key(folder: Path, key: Ed25519PrivateKey) -> None:
    """Write a new key under its name, whole and synced, readable by its owner alone."""
    write_whole(folder / KEY_FILE, key.private_bytes_raw(), 0o600)


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Put a file in place in one step that outlives a power cut."""
    temporary = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        temporary.unlink()
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the entries of a directory outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
