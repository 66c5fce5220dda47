"""The key that signs a log's heads: made once, owner's alone, never made twice."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from governance import key_files

KEY_FILE = "signing.key"


def public_key_of(key: Ed25519PrivateKey) -> str:
    """Return the public half of a key in hexadecimal."""
    return key.public_key().public_bytes_raw().hex()


def read_key(folder: Path) -> Ed25519PrivateKey | None:
    """Return the signing key of a log, or None where there is none.

    Raises:
        KeyFileError: it can be opened by others than its owner, or is no key.
    """
    raw = key_files.read_key(folder / KEY_FILE, "audit log's key")
    return None if raw is None else Ed25519PrivateKey.from_private_bytes(raw)


def write_key(folder: Path, key: Ed25519PrivateKey) -> None:
    """Write a new key under its name, whole and synced, readable by its owner alone."""
    key_files.write_key(folder / KEY_FILE, key.private_bytes_raw())
