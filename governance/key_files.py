"""Keys in files: 32 random bytes each, for their owner alone."""

from __future__ import annotations

import stat
from pathlib import Path

from governance.errors import KeyFileError
from governance.files import write_whole

KEY_BYTES = 32


def read_key(path: Path, name: str) -> bytes | None:
    """Read a key file; None where there is none.

    Args:
        path: the file.
        name: what the key is called in a refusal, such as ``token key``.

    Raises:
        KeyFileError: it can be read by others than its owner, or has not the length of a key.
    """
    try:
        information = path.stat()
    except FileNotFoundError:
        return None
    if information.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(
            f"The {name} {path} can be opened by other accounts than its owner: "
            f"run `chmod 600 {path}`."
        )
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise KeyFileError(
            f"The {name} {path} holds {len(key)} bytes instead of {KEY_BYTES}: restore it from "
            "the backup."
        )
    return key


def write_key(path: Path, key: bytes) -> None:
    """Write a key for its owner alone, synced, in one step."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, key, 0o600)
