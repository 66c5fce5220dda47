"""The epochs of the token key: which key makes tokens now, which did before, which comes next.

``token.key`` is the key in force, ``token.key.id`` names it and its epoch; keys of earlier epochs
stay as ``token.<key id>.key``, because their snapshots' manifests are signed with them.
``token.next.key`` waits for the snapshot that makes every token anew, and takes its place only once
that snapshot is current. Every step can be done twice: a kill in between is mended by the next
snapshot.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from extract.identity.tokens import EPOCH, KEY_FILE, Tokeniser, key_id, load_or_create_key
from extract.lake import MANIFEST, current_directory
from governance.errors import KeyFileError, SnapshotError
from governance.files import sync
from governance.key_files import KEY_BYTES, read_key, write_key
from governance.settings import Settings

KEY_ID_FILE = "token.key.id"
NEXT_KEY = "token.next.key"
EPOCHS = 16
_KEY_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class TokenKey:
    """A token key and the digit that its tokens begin with."""

    secret: bytes
    epoch: int

    @property
    def name(self) -> str:
        """The epoch as it stands in a token."""
        return f"{self.epoch:x}"

    def tokeniser(self) -> Tokeniser:
        """Return what makes its tokens."""
        return Tokeniser(self.secret, self.epoch)

    def __repr__(self) -> str:
        return f"TokenKey({key_id(self.secret)}, epoch {self.name})"


@dataclass(frozen=True)
class TokenKeys:
    """The key of the snapshot to come, and where it is a new one, the key before it."""

    now: TokenKey
    before: TokenKey | None = None


def token_keys(settings: Settings, *, is_first: bool) -> TokenKeys:
    """Return the keys of the snapshot to come; end a rotation that was cut off.

    Args:
        settings: the installation, held by the caller.
        is_first: whether nothing was tokenised yet, so that a key may be made.

    Raises:
        KeyFileError: the key is missing, open to others, or another than before.
    """
    end_rotation(settings)
    named = settings.vault / KEY_ID_FILE
    used, epoch = _named(named)
    key = load_or_create_key(settings.vault, allow_create=is_first and used is None)
    if used is None:
        _name(named, key, epoch)
    elif used != key_id(key):
        raise KeyFileError(
            f"The token key {settings.vault / KEY_FILE} is not the one this installation was "
            "filled with: restore that one from the backup; with another, every record would get "
            "another token."
        )
    in_force = TokenKey(key, epoch)
    following = read_key(settings.vault / NEXT_KEY, "next token key")
    if following is None:
        return TokenKeys(in_force)
    return TokenKeys(TokenKey(following, (epoch + 1) % EPOCHS), before=in_force)


def begin_rotation(settings: Settings) -> TokenKeys:
    """Make the key of the next epoch; the next snapshot uses it.

    Raises:
        KeyFileError: the key in force is missing, open to others, or another than before.
        SnapshotError: there is no snapshot yet, or a rotation has begun.
    """
    if current_directory(settings.lake) is None:
        raise SnapshotError(
            f"There is no snapshot in {settings.lake} whose tokens could be made anew: take one "
            "with `scutari snapshot`."
        )
    if token_keys(settings, is_first=False).before is not None:
        raise SnapshotError(
            f"The next token key {settings.vault / NEXT_KEY} is already waiting for a snapshot: "
            "take one with `scutari snapshot`."
        )
    write_key(settings.vault / NEXT_KEY, os.urandom(KEY_BYTES))
    return token_keys(settings, is_first=False)


def end_rotation(settings: Settings) -> None:
    """Put the next key in force, if the current snapshot was taken with it."""
    waiting = settings.vault / NEXT_KEY
    following = read_key(waiting, "next token key")
    directory = current_directory(settings.lake)
    if following is None or directory is None or _key_id_of(directory) != key_id(following):
        return
    before = load_or_create_key(settings.vault, allow_create=False)
    write_key(_past(settings.vault, key_id(before)), before)
    named = settings.vault / KEY_ID_FILE
    used, epoch = _named(named)
    if used != key_id(following):
        _name(named, following, (epoch + 1) % EPOCHS)
    os.replace(waiting, settings.vault / KEY_FILE)
    sync(settings.vault)


def key_of_snapshot(vault: Path, directory: Path) -> bytes:
    """Return the token key that a snapshot was taken with, or the one in force if it is not there.

    Raises:
        KeyFileError: the key in force is missing or open to others.
    """
    in_force = load_or_create_key(vault, allow_create=False)
    wanted = _key_id_of(directory)
    if wanted is None or wanted == key_id(in_force):
        return in_force
    for path in (_past(vault, wanted), vault / NEXT_KEY):
        key = read_key(path, "token key")
        if key is not None and key_id(key) == wanted:
            return key
    return in_force


def every_token_key(settings: Settings) -> set[bytes]:
    """Return the token keys of every epoch that the vault still has."""
    vault = settings.vault
    paths = [vault / KEY_FILE, vault / NEXT_KEY, *sorted(vault.glob("token.*.key"))]
    keys = (read_key(path, "token key") for path in paths)
    return {key for key in keys if key is not None}


def _past(vault: Path, name: str) -> Path:
    return vault / f"token.{name}.key"


def _key_id_of(directory: Path) -> str | None:
    """Return the key id that a manifest names; whoever uses the key checks the signature."""
    try:
        name = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))["key_id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) and _KEY_ID.fullmatch(name) else None


def _named(path: Path) -> tuple[str | None, int]:
    """Return the id and epoch of the key in use; before epochs there was the id alone."""
    if not path.is_file():
        return None, EPOCH
    words = path.read_text(encoding="utf-8").split()
    if not words or (len(words) > 1 and not re.fullmatch(r"[0-9a-f]", words[1])):
        raise KeyFileError(
            f"{path} does not name the token key: restore it from the vault's backup."
        )
    return words[0], int(words[1], 16) if len(words) > 1 else EPOCH


def _name(path: Path, key: bytes, epoch: int) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(f"{key_id(key)} {epoch:x}\n", encoding="utf-8")
    sync(temporary)
    os.replace(temporary, path)
    sync(path.parent)
