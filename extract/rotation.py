"""New keys for a vault that is in use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from extract.identity.epochs import begin_rotation
from extract.identity.key_provider import FileKeys, load_provider
from extract.identity.keyring import KEYRING, rotate
from extract.zones import locked
from governance.audit.log import audited
from governance.errors import KeyFileError
from governance.settings import Settings


@dataclass(frozen=True)
class KeyRotation:
    """Which master key gave way to which."""

    before: str
    after: str

    def __str__(self) -> str:
        return (
            f"the vault opens with {self.after} and no longer with {self.before}; back up vault "
            "and keys, then destroy the old key, also in older backups"
        )


@dataclass(frozen=True)
class TokenRotation:
    """Which token key waits for the next snapshot."""

    before: str
    after: str

    def __str__(self) -> str:
        return (
            f"the next snapshot reads everything and makes every token anew (epoch {self.before} "
            f"gives way to {self.after}); take it with `scutari snapshot`"
        )


def rotate_tokens(settings: Settings) -> TokenRotation:
    """Begin the next epoch of tokens.

    Raises:
        AuditError: the audit log cannot be written.
        KeyFileError: the token key is missing, open to others, or another than before.
        SnapshotError: there is no snapshot yet, or a rotation has begun.
    """
    with locked(settings), audited(settings, "rotate_tokens"):
        keys = begin_rotation(settings)
    before = keys.before or keys.now
    return TokenRotation(before.name, keys.now.name)


def rotate_master_key(settings: Settings, old_keys: Path | None = None) -> KeyRotation:
    """Lock the vault's data keys with a new master key.

    Args:
        settings: the installation.
        old_keys: the directory of the old master key's file, where the settings name another place
            by now, or a key-management service.

    Raises:
        AuditError: the audit log cannot be written.
        KeyFileError: there is no keyring yet, or it cannot be opened.
        SnapshotError: a snapshot is being taken.
    """
    with locked(settings), audited(settings, "rotate_key"):
        if not (settings.vault / KEYRING).is_file():
            raise KeyFileError(
                f"The vault {settings.vault} has no keyring yet: `scutari snapshot` makes it, or, "
                "if it had one, restore it from the vault's backup."
            )
        holder = FileKeys(old_keys) if old_keys is not None else None
        return KeyRotation(*rotate(settings.vault, load_provider(settings), holder))
