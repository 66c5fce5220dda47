"""The key of an encrypted warehouse file, and how it is attached without telling the key.

DuckDB takes the key as a parameter of ``attach``: it stands in no SQL text and no log. Reading
needs nothing else; for writing DuckDB wants OpenSSL, which its httpfs extension brings along.
"""

from __future__ import annotations

import base64
import os

import duckdb

from governance.errors import KeyFileError, SettingsError
from governance.key_files import KEY_BYTES, read_key, write_key
from governance.settings import SETTINGS_FILE, EncryptionSettings, Settings

NAME = "key of the warehouse"


def attach_warehouse(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Attach the warehouse file as ``warehouse``, read-only.

    Raises:
        KeyFileError: it is encrypted, and its key is missing or open to others.
    """
    path = str(settings.warehouse).replace("'", "''")
    if settings.encryption is None:
        connection.execute(f"attach '{path}' as warehouse (read_only)")
        return
    connection.execute(
        f"attach '{path}' as warehouse (read_only, encryption_key $key)",
        {"key": _read(settings.encryption)},
    )


def check_encryption(settings: Settings) -> EncryptionSettings:
    """Look, before anything is done, whether the warehouse can be encrypted.

    Raises:
        SettingsError: the settings name no key, or DuckDB's httpfs extension cannot be loaded.
    """
    if settings.encryption is None:
        raise SettingsError(
            "The target encrypted needs a key: write [warehouse] with key_file into "
            f"{settings.home / SETTINGS_FILE}."
        )
    with duckdb.connect() as connection:
        load_httpfs(connection, settings.encryption)
    return settings.encryption


def attach_for_writing(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Attach the encrypted warehouse file as ``warehouse``; a first build makes it and its key.

    Raises:
        KeyFileError: there is a warehouse, and its key is missing or open to others.
        SettingsError: the settings name no key, or DuckDB's httpfs extension cannot be loaded.
    """
    encryption = check_encryption(settings)
    load_httpfs(connection, encryption)
    if not settings.warehouse.exists() and read_key(encryption.key_file, NAME) is None:
        write_key(encryption.key_file, os.urandom(KEY_BYTES))
    path = str(settings.warehouse).replace("'", "''")
    connection.execute(
        f"attach '{path}' as warehouse (encryption_key $key)", {"key": _read(encryption)}
    )


def load_httpfs(connection: duckdb.DuckDBPyConnection, encryption: EncryptionSettings) -> None:
    """Load the extension that lets DuckDB write encrypted files; nothing is downloaded.

    Raises:
        SettingsError: it is not there, or does not fit this DuckDB.
    """
    file = encryption.httpfs
    try:
        connection.load_extension(str(file) if file is not None else "httpfs")
    except duckdb.Error:
        where = str(file) if file is not None else "DuckDB's extension directory"
        raise SettingsError(
            f"The warehouse cannot be encrypted: {where} holds no httpfs extension for DuckDB "
            f"{duckdb.__version__}. Put its file there and name it as httpfs under [warehouse], or "
            "take [warehouse] out and keep the home directory on an encrypted volume."
        ) from None


def _read(encryption: EncryptionSettings) -> str:
    key = read_key(encryption.key_file, NAME)
    if key is None:
        raise KeyFileError(
            f"The {NAME} {encryption.key_file} is missing: restore it from its backup, or move the "
            "warehouse file away and build again from the lake."
        )
    return base64.b64encode(key).decode()
