"""Whether every erasure is applied to what is about to be read."""

from __future__ import annotations

import json
from pathlib import Path

from extract.erasure.tombstones import STAMP, heads, require_applied
from extract.identity.keyring import Keyring
from extract.identity.opening import VERSIONS
from extract.identity.version import open_version
from extract.lake import MANIFEST, current_directory, snapshot_ids
from extract.zones import QUARANTINE
from governance.files import write_whole
from governance.settings import Settings


def require_applied_to_lake(settings: Settings) -> None:
    """Make sure that no snapshot of the lake is from before an erasure; takes no key.

    Raises:
        ErasureError: one is, or an erasure was cut off.
    """
    require_applied(settings, dict(_lake_heads(settings)))


def require_applied_to_zones(settings: Settings, keyring: Keyring) -> None:
    """Make sure of lake, vault and quarantine.

    Raises:
        ErasureError: one of them is from before an erasure, or one was cut off.
        VaultError: a version's record is not as it was signed.
    """
    applied = dict(_lake_heads(settings))
    for name in snapshot_ids(settings.lake):
        version = settings.vault / VERSIONS / name
        if version.is_dir():
            applied[f"The vault's version {name}"] = open_version(version, keyring).tombstones
    for folder in _folders(settings.restricted / QUARANTINE):
        applied[f"The quarantine of snapshot {folder.name}"] = stamp_of(folder)
    require_applied(settings, applied)


def tombstones_of_current(settings: Settings) -> str:
    """Return the last erasure that the current snapshot says is applied to it."""
    directory = current_directory(settings.lake)
    return _head_of(directory) if directory is not None else ""


def last_head(settings: Settings) -> str:
    """Return the last erasure of all; empty before the first."""
    known = heads(settings)
    return known[-1] if known else ""


def stamp_quarantine(folder: Path, head: str) -> None:
    """Write down which erasures a snapshot's quarantine knows of."""
    if head:
        write_whole(folder / STAMP, head.encode(), 0o600)


def _lake_heads(settings: Settings) -> list[tuple[str, str]]:
    names = snapshot_ids(settings.lake)
    return [(f"The snapshot {name}", _head_of(settings.lake / name)) for name in names]


def _head_of(directory: Path) -> str:
    # Whoever has the key checks the signature when the manifest is used.
    try:
        body = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        return str(body.get("tombstones", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def stamp_of(folder: Path) -> str:
    """Return the last erasure that a snapshot's quarantine knows of."""
    try:
        return (folder / STAMP).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return sorted(p for p in parent.iterdir() if p.is_dir() and not p.name.startswith("."))
