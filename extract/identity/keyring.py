"""The keyring: the vault's data keys, wrapped by the master key.

``vault/keyring.json`` names the master key and holds the data keys that only this master key
unwraps. Every vault file has a key of its own, derived from a data key and the file's salt. A new
master key wraps the same data keys again (and one more, for the files to come): no file of the
vault is touched, and the old master key opens nothing any more. Reasons are in
``docs/adr/0022-the-vault-is-encrypted.md``.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from extract.identity.key_provider import KeyProvider
from extract.identity.tokens import derive_key
from governance.errors import KeyFileError, ScutariError
from governance.files import is_shared, sync
from governance.key_files import KEY_BYTES

KEYRING = "keyring.json"
FORMAT = 1
_ID_BYTES = 8


@dataclass(frozen=True)
class Keyring:
    """The data keys, open.

    Attributes:
        master_key_id: the master key that wraps them.
        active: the id of the data key for new files.
        data_keys: all data keys by id.
        plain_versions: versions from before there was a keyring, still to be encrypted.
    """

    master_key_id: str
    active: str
    data_keys: dict[str, bytes]
    plain_versions: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Keyring(master key {self.master_key_id}, {len(self.data_keys)} data keys)"

    def file_key(self, data_key_id: str, salt: str) -> bytes:
        """Return the key of one file.

        Raises:
            KeyError: there is no such data key.
        """
        return derive_key(self.data_keys[data_key_id], f"vault file {salt}")

    def sign(self, data_key_id: str, body: dict[str, Any]) -> str:
        """Return the signature of a record of the vault.

        Raises:
            KeyError: there is no such data key.
        """
        secret = derive_key(self.data_keys[data_key_id], "vault record")
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        return hmac.digest(secret, text.encode(), "sha256").hex()


def create_keyring(
    vault: Path, provider: KeyProvider, plain_versions: tuple[str, ...] = ()
) -> Keyring:
    """Make a master key, a first data key and the keyring of an installation."""
    fresh = os.urandom(_ID_BYTES).hex()
    keyring = Keyring(
        master_key_id=_create(provider),
        active=fresh,
        data_keys={fresh: os.urandom(KEY_BYTES)},
        plain_versions=plain_versions,
    )
    write_keyring(vault, keyring, provider)
    return keyring


def read_keyring(vault: Path, provider: KeyProvider) -> Keyring:
    """Open the keyring.

    Raises:
        KeyFileError: it is missing or not as it was written, or its master key is missing or
            another.
    """
    path = vault / KEYRING
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise KeyFileError(
            f"The keyring {path} is missing, and nothing in the vault can be read without it: "
            "restore it from the vault's backup."
        ) from None
    except UnicodeDecodeError:
        raise _spoiled(path) from None
    return _opened(text, path, provider)


def _opened(text: str, path: Path, provider: KeyProvider) -> Keyring:
    try:
        body: dict[str, Any] = json.loads(text)
        signature = str(body.pop("signature"))
        master, active = str(body["master_key_id"]), str(body["active"])
        wrapped = {str(n): base64.b64decode(v) for n, v in body["data_keys"].items()}
        plain = tuple(str(name) for name in body["plain_versions"])
    except (ValueError, KeyError, AttributeError, TypeError):
        raise _spoiled(path) from None
    keyring = Keyring(
        master,
        active,
        {name: _unwrap(provider, master, name, value) for name, value in wrapped.items()},
        plain,
    )
    if (
        body.get("format") != FORMAT
        or active not in keyring.data_keys
        or not hmac.compare_digest(signature.encode(), keyring.sign(active, body).encode())
    ):
        raise _spoiled(path)
    return keyring


def write_keyring(vault: Path, keyring: Keyring, provider: KeyProvider) -> None:
    """Write the keyring in one step: before it there is the old one, after it the new one.

    Raises:
        KeyFileError: the master key does not open what it locked; nothing was written.
    """
    body: dict[str, Any] = {
        "format": FORMAT,
        "master_key_id": keyring.master_key_id,
        "active": keyring.active,
        "data_keys": {
            name: base64.b64encode(_wrap(provider, keyring.master_key_id, name, key)).decode()
            for name, key in keyring.data_keys.items()
        },
        "plain_versions": list(keyring.plain_versions),
    }
    body["signature"] = keyring.sign(keyring.active, body)
    path = vault / KEYRING
    text = json.dumps(body, indent=1, sort_keys=True) + "\n"
    # A holder that locks what it cannot open must not get the only copy.
    if _opened(text, path, provider) != keyring:
        raise KeyFileError(
            f"The master key {keyring.master_key_id} does not open what it locked: the vault stays "
            "as it was; look after the key provider."
        )
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        if is_shared(vault):  # with the broker's account, which has the master key but not this
            os.fchmod(file.fileno(), 0o640)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync(vault)


def rotate(
    vault: Path, provider: KeyProvider, holder: KeyProvider | None = None
) -> tuple[str, str]:
    """Wrap the data keys with a new master key and make a data key for the files to come.

    A kill at any moment leaves the old keyring or the new one, and the master key of either.

    Args:
        vault: the vault; held by the caller.
        provider: makes the new master key.
        holder: has the old one, where that is somebody else.

    Returns:
        The ids of the old and of the new master key.

    Raises:
        KeyFileError: the keyring cannot be opened, or the new key does not open what it wrapped.
    """
    before = read_keyring(vault, holder or provider)
    fresh = os.urandom(_ID_BYTES).hex()
    after = replace(
        before,
        master_key_id=_create(provider),
        active=fresh,
        data_keys=before.data_keys | {fresh: os.urandom(KEY_BYTES)},
    )
    write_keyring(vault, after, provider)
    return before.master_key_id, after.master_key_id


def _spoiled(path: Path) -> KeyFileError:
    return KeyFileError(
        f"The keyring {path} is not as it was written: restore it from the vault's backup."
    )


def _context(name: str) -> bytes:
    return f"scutari vault data key {name}".encode()


def _create(provider: KeyProvider) -> str:
    try:
        return provider.create()
    except (ScutariError, OSError):
        raise
    except Exception as error:
        raise _failed("make a master key", error) from None


def _wrap(provider: KeyProvider, master: str, name: str, key: bytes) -> bytes:
    try:
        return provider.wrap(master, key, _context(name))
    except ScutariError:
        raise
    except Exception as error:
        raise _failed(f"lock a data key with the master key {master}", error) from None


def _unwrap(provider: KeyProvider, master: str, name: str, wrapped: bytes) -> bytes:
    try:
        key = provider.unwrap(master, wrapped, _context(name))
    except ScutariError:
        raise
    except Exception as error:
        raise _failed(f"open the vault with the master key {master}", error) from None
    if len(key) != KEY_BYTES:
        raise _failed(f"open the vault with the master key {master}", ValueError())
    return key


def _failed(task: str, error: Exception) -> KeyFileError:
    return KeyFileError(
        f"The key provider could not {task} ({type(error).__name__}): make sure that it is in "
        "reach and has the key, or restore the key from its backup."
    )
