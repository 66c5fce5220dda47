"""How the broker opens the vault: with a master key file of its own, or the same service."""

from __future__ import annotations

import json
import os
import pwd
import re
import stat

from extract.identity.key_provider import KEYS, FileKeys, KeyProvider, load_provider
from extract.identity.keyring import KEYRING
from governance.errors import ZoneError
from governance.files import sync
from governance.settings import Settings

_KEY_NAME = re.compile(r"[0-9a-f]{16}")


def broker_keys(settings: Settings) -> KeyProvider:
    """Return who opens the vault for the broker: a plug-in, or its own copy of the key."""
    if settings.accounts is None or settings.keys.provider is not None:
        return load_provider(settings)
    return FileKeys(settings.broker / "keys")


def give_master_key(settings: Settings) -> str:
    """As root, copy the vault's master key for the broker's account; say what was done.

    Raises:
        ZoneError: the key in force is not where the settings say.
    """
    keyring = settings.vault / KEYRING
    if settings.accounts is None or settings.keys.provider is not None or not keyring.is_file():
        return "there is no master key to give to the broker"
    name = str(json.loads(keyring.read_text(encoding="utf-8"))["master_key_id"])
    if not _KEY_NAME.fullmatch(name):  # it becomes a path that root opens
        raise ZoneError(f"The keyring {keyring} names no key file: restore it from the backup.")
    source = (settings.keys.directory or settings.vault / KEYS) / f"{name}.key"
    try:
        handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        raise ZoneError(f"The vault's master key {source} cannot be read: restore it.") from None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ZoneError(f"The vault's master key {source} is no file: restore it.")
        key = file.read()
    account = pwd.getpwnam(settings.accounts.broker)
    # Made in a directory of root's and then moved: in the broker's own a link could wait for it.
    temporary = settings.broker / f".{os.urandom(8).hex()}.new"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(key)
        os.fchown(file.fileno(), account.pw_uid, account.pw_gid)
        os.fsync(file.fileno())
    folder = settings.broker / "keys"
    os.replace(temporary, folder / f"{name}.key")
    sync(folder)
    return f"the broker has the vault's master key {name}"
