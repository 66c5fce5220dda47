"""Who holds the vault's master keys: files, or a key-management service behind a plug-in.

A master key encrypts ("wraps") data keys and nothing else, so a service never has to hand it out.
A plug-in is named in ``scutari.toml`` and loaded by import::

    [vault]
    key_provider = "hospital_kms:Provider"
    options = {url = "https://kms.hospital.example"}

It is called once with ``options`` and must have the methods of ``KeyProvider``.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Protocol, runtime_checkable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from extract.identity.tokens import key_id
from governance.errors import KeyFileError, SettingsError
from governance.key_files import KEY_BYTES, read_key, write_key
from governance.settings import SETTINGS_FILE, Settings

KEYS = "keys"
_NONCE_BYTES = 12


@runtime_checkable
class KeyProvider(Protocol):
    """What the vault asks of whoever holds its master keys."""

    def create(self) -> str:
        """Make a master key and return its id: a name that says nothing of the key."""
        ...

    def wrap(self, master_key_id: str, data_key: bytes, context: bytes) -> bytes:
        """Encrypt a data key; the same context must be given to ``unwrap``."""
        ...

    def unwrap(self, master_key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Return what was wrapped; any exception where key, bytes or context do not fit."""
        ...


class FileKeys:
    """Master keys in files, ``<key id>.key`` with mode 600 (AES-256-GCM).

    Args:
        directory: where they are.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def create(self) -> str:
        """Make a key file; its id is derived from it, so that a wrong file is noticed."""
        key = os.urandom(KEY_BYTES)
        name = key_id(key)
        write_key(self._directory / f"{name}.key", key)
        return name

    def wrap(self, master_key_id: str, data_key: bytes, context: bytes) -> bytes:
        """Encrypt a data key."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self._key(master_key_id)).encrypt(nonce, data_key, context)

    def unwrap(self, master_key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt a data key.

        Raises:
            KeyFileError: the key's file is missing, open to others, or another key's; or what was
                wrapped is not as it was written.
        """
        cipher = AESGCM(self._key(master_key_id))
        try:
            return cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise KeyFileError(
                f"The master key {self._path(master_key_id)} does not open the vault's data keys: "
                "they are not as they were written; restore the keyring from the vault's backup."
            ) from None

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.key"

    def _key(self, name: str) -> bytes:
        path = self._path(name)
        key = read_key(path, "master key")
        if key is None:
            raise KeyFileError(
                f"The vault's master key {path} is missing, and nothing in the vault can be read "
                "without it: restore it from the backup of the keys."
            )
        if key_id(key) != name:
            raise KeyFileError(
                f"The file {path} holds another key than the one the vault was locked with: "
                "restore that one from the backup of the keys."
            )
        return key


def load_provider(settings: Settings) -> KeyProvider:
    """Return the holder of the master keys that the settings name; files by default.

    Raises:
        SettingsError: the plug-in cannot be loaded or has not all methods.
    """
    named = settings.keys.provider
    if named is None:
        return FileKeys(settings.keys.directory or settings.vault / KEYS)
    module, _, name = named.partition(":")
    try:
        made: object = getattr(importlib.import_module(module), name)(dict(settings.keys.options))
    except Exception as error:
        # A plug-in may fail in any way, and its text can hold a secret.
        raise SettingsError(
            f"The key provider {named} of {settings.home / SETTINGS_FILE} could not be loaded "
            f"({type(error).__name__}): correct its name or options, or install its package."
        ) from None
    if not isinstance(made, KeyProvider):
        raise SettingsError(
            f"The key provider {named} of {settings.home / SETTINGS_FILE} has not all of the "
            "methods create, wrap and unwrap: name another class or complete this one."
        )
    return made
