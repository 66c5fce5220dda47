"""Where an installation keeps its data and how it reaches its operational databases.

All data live under one home directory (``SCUTARI_HOME``, default ``var/``). Its ``scutari.toml``
names the operational databases. A connection string is a secret: the file names the environment
variable or the file that holds it, never the string itself.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from governance.accounts import (
    Accounts,
    BrokerLimits,
    Role,
    read_accounts,
    read_limits,
    read_roles,
)
from governance.connections import ConnectionString
from governance.errors import SettingsError

SETTINGS_FILE = "scutari.toml"
PROJECT_ROOT = Path(__file__).resolve().parent.parent

SourceKind = Literal["sqlite", "postgresql"]
MatchingMethod = Literal["probabilistic", "deterministic"]
_TABLES = frozenset(
    {
        "accounts",
        "broker",
        "chart_audit",
        "matching",
        "retention",
        "roles",
        "sources",
        "vault",
        "warehouse",
    }
)
_PREFIX = re.compile(r"[a-z][a-z0-9_]{0,19}")
_PLUG_IN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class SourceSettings:
    """How one operational database is reached."""

    name: str
    kind: SourceKind
    path: Path | None = None
    dsn_env: str | None = None
    dsn_file: Path | None = None
    schema: str = "public"

    def dsn(self) -> str:
        """Return the PostgreSQL connection string from its environment variable or file.

        Raises:
            SettingsError: neither is named, or the named one holds nothing.
        """
        return ConnectionString(
            f"Source {self.name}", f"sources.{self.name}", self.dsn_env, self.dsn_file
        ).read()


@dataclass(frozen=True)
class ReviewDatabase:
    """The PostgreSQL database that holds the chart reviews, instead of a file for each hospital.

    Attributes:
        prefix: each hospital has a schema of its own, named by this and its key.
    """

    connection: ConnectionString
    prefix: str = "chart_audit"


@dataclass(frozen=True)
class KeySettings:
    """Where the vault's master keys are.

    Attributes:
        directory: the key files' directory; ``vault/keys`` where none is named.
        provider: a plug-in instead of files, as ``package.module:Class``.
        options: what the plug-in is told, such as the address of its service.
    """

    directory: Path | None = None
    provider: str | None = None
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TableRetention:
    """How long the rows of one table are kept.

    Attributes:
        months: whole months before the current one.
        by: the column of dates or instants that says how old a row is; where none is named, the one
            that the table is partitioned by.
    """

    months: int
    by: str | None = None


@dataclass(frozen=True)
class RetentionSettings:
    """How long what is kept; nothing goes that is not named.

    Attributes:
        snapshots: how many of the newest stay.
        months: of how many months beside them the last one stays.
        quarantine_days: how long quarantined values stay, but for those of the current snapshot.
        token_map_days: how long a map from old to new tokens stays.
        review_days: how long lists of uncertain pairs stay, but for that of the current snapshot.
        tables: how long the rows of a table stay, by source and name joined by a dot.
    """

    snapshots: int | None = None
    months: int = 0
    quarantine_days: int | None = None
    token_map_days: int | None = None
    review_days: int | None = None
    tables: dict[str, TableRetention] = field(default_factory=dict)


@dataclass(frozen=True)
class EncryptionSettings:
    """How the warehouse file is encrypted.

    Attributes:
        key_file: 32 random bytes for the account that builds; made by the first build.
        httpfs: DuckDB's extension file; None where it is installed in DuckDB's own directory.
    """

    key_file: Path
    httpfs: Path | None = None


@dataclass(frozen=True)
class Settings:
    """One installation: its home directory, its zones, its sources and who may do what."""

    home: Path
    sources: dict[str, SourceSettings] = field(default_factory=dict)
    is_synthetic: bool = False
    keys: KeySettings = field(default_factory=KeySettings)
    retention: RetentionSettings | None = None
    accounts: Accounts | None = None
    roles: dict[str, Role] = field(default_factory=dict)
    broker_limits: BrokerLimits = field(default_factory=BrokerLimits)
    matching: MatchingMethod = "probabilistic"
    encryption: EncryptionSettings | None = None
    review_database: ReviewDatabase | None = None

    @property
    def lake(self) -> Path:
        """The snapshots, one directory each, and the ``current`` link."""
        return self.home / "lake"

    @property
    def vault(self) -> Path:
        """Identifiers and the crosswalk, encrypted; their keys and the token key."""
        return self.home / "vault"

    @property
    def restricted(self) -> Path:
        """Quarantined values and work in progress that may hold raw values."""
        return self.home / "restricted"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file that dbt builds."""
        return self.builders / "warehouse.duckdb"

    @property
    def builders(self) -> Path:
        """Where the warehouse lies: a directory of the builder's, where it has an account."""
        return self.home / "warehouse" if self.accounts else self.home

    @property
    def work(self) -> Path:
        """Where a build and a publication leave logs and spill.

        A builder with an account of its own cannot enter the restricted zone.
        """
        return self.builders / "work" if self.accounts else self.restricted

    @property
    def published(self) -> Path:
        """The network's suppressed dashboard files."""
        return self.home / "published"

    @property
    def operational(self) -> Path:
        """One directory per hospital with that hospital's own, whole figures."""
        return self.home / "operational"

    @property
    def chart_audit(self) -> Path:
        """What reviewers found in charts, one file for each hospital."""
        return self.home / "chart_audit"

    @property
    def chart_reviews(self) -> Path:
        """The submitted chart reviews of all hospitals, as the extractor reads them."""
        return self.home / "handed_over" / "chart_audit.sqlite"

    @property
    def reports(self) -> Path:
        """Each hospital's quarterly report, with its own whole figures."""
        return self.home / "reports"

    @property
    def release(self) -> Path:
        """Research files."""
        return self.home / "release"

    @property
    def broker(self) -> Path:
        """Requests for record numbers, approvals, and what became of them."""
        return self.home / "broker"

    @property
    def tombstones(self) -> Path:
        """Who must not come back; outside every zone that a restore brings back."""
        return self.home / "tombstones"

    @property
    def audit(self) -> Path:
        """The audit log, one directory for each account that acts."""
        return self.home / "audit"


def default_home() -> Path:
    """Return ``SCUTARI_HOME`` or, where it is not set, ``var/`` beside the code."""
    value = os.environ.get("SCUTARI_HOME")
    return Path(value).absolute() if value else PROJECT_ROOT / "var"


def load_settings(home: Path | None = None) -> Settings:
    """Read ``scutari.toml`` of an installation.

    Args:
        home: the installation's home directory; ``SCUTARI_HOME`` where none is given.

    Raises:
        SettingsError: the file is absent, not TOML, or names a source wrongly.
    """
    home = (home or default_home()).absolute()
    path = home / SETTINGS_FILE
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"There is no {SETTINGS_FILE} in {home}: run `make demo` for the synthetic network, "
            "or write one as the README shows (Your own database)."
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as TOML: {error}.") from None
    unknown = set(raw) - _TABLES - {"synthetic"}
    if unknown:
        raise SettingsError(f"{path} has unknown settings: {', '.join(sorted(unknown))}.")
    is_synthetic = raw.get("synthetic", False)
    if not isinstance(is_synthetic, bool):
        raise SettingsError(f"{path} needs synthetic = true or false.")
    tables = raw.get("sources", {})
    if not tables or not isinstance(tables, dict):
        raise SettingsError(f"{path} names no source: add a [sources.NAME] table.")
    return Settings(
        home=home,
        sources={name: _source(home, name, body) for name, body in tables.items()},
        is_synthetic=is_synthetic,
        keys=_keys(home, raw.get("vault", {})),
        retention=_retention(home, raw["retention"]) if "retention" in raw else None,
        accounts=read_accounts(str(path), raw.get("accounts")),
        roles=read_roles(str(path), raw.get("roles")),
        broker_limits=read_limits(str(path), raw.get("broker")),
        matching=_matching(home, raw.get("matching", {})),
        encryption=_encryption(home, raw.get("warehouse")),
        review_database=_review_database(home, raw.get("chart_audit")),
    )


def _retention(home: Path, body: object) -> RetentionSettings:
    where = f"[retention] in {home / SETTINGS_FILE}"
    if not isinstance(body, dict):
        raise SettingsError(f"{where} must be a table of settings.")
    unknown = set(body) - {known.name for known in fields(RetentionSettings)}
    if unknown:
        raise SettingsError(f"{where} has unknown settings: {', '.join(sorted(unknown))}.")
    tables = _table_retention(where, body.get("tables", {}))
    numbers = {setting: value for setting, value in body.items() if setting != "tables"}
    for setting, value in numbers.items():
        if type(value) is not int or value < (1 if setting == "snapshots" else 0):
            raise SettingsError(f"{where}: {setting} must be a whole number, snapshots at least 1.")
    if body.get("months") and "snapshots" not in body:
        raise SettingsError(f"{where} names months, but not how many snapshots stay beside them.")
    return RetentionSettings(**numbers, tables=tables)


def _table_retention(where: str, body: object) -> dict[str, TableRetention]:
    if not isinstance(body, dict):
        raise SettingsError(f"{where}: tables must be a table of settings.")
    for name, value in body.items():
        months = value.get("months") if isinstance(value, dict) else None
        by = value.get("by") if isinstance(value, dict) else None
        is_whole = isinstance(value, dict) and set(value) <= {"months", "by"}
        if not is_whole or type(months) is not int or months < 1 or not isinstance(by, str | None):
            raise SettingsError(
                f'{where}: tables."{name}" must be {{months = N}} with N at least 1, and may name '
                'the column: by = "a_column".'
            )
    return {name: TableRetention(value["months"], value.get("by")) for name, value in body.items()}


def _matching(home: Path, body: object) -> MatchingMethod:
    method = body.get("method", "probabilistic") if isinstance(body, dict) else None
    if not isinstance(body, dict) or set(body) - {"method"}:
        raise SettingsError(f"[matching] in {home / SETTINGS_FILE} has one setting: method.")
    if method not in ("probabilistic", "deterministic"):
        raise SettingsError(
            f'[matching] in {home / SETTINGS_FILE} needs method = "probabilistic" or '
            '"deterministic".'
        )
    return "deterministic" if method == "deterministic" else "probabilistic"


def _keys(home: Path, body: object) -> KeySettings:
    where = f"[vault] in {home / SETTINGS_FILE}"
    if not isinstance(body, dict):
        raise SettingsError(f"{where} must be a table of settings.")
    unknown = set(body) - {"key_directory", "key_provider", "options"}
    if unknown:
        raise SettingsError(f"{where} has unknown settings: {', '.join(sorted(unknown))}.")
    options = body.get("options", {})
    if not isinstance(options, dict):
        raise SettingsError(f"{where}: options must be a table of settings.")
    named = {name: value for name, value in body.items() if name != "options"}
    for setting, value in (named | options).items():
        if not isinstance(value, str) or not value:
            raise SettingsError(f"{where}: {setting} must be a text in quotes.")
    if "key_directory" in body and "key_provider" in body:
        raise SettingsError(f"{where} names both key_directory and key_provider: choose one.")
    if "key_provider" in body and not _PLUG_IN.fullmatch(body["key_provider"]):
        raise SettingsError(f'{where} needs key_provider = "package.module:Class".')
    return KeySettings(
        directory=home / body["key_directory"] if "key_directory" in body else None,
        provider=body.get("key_provider"),
        options=dict(options),
    )


def _encryption(home: Path, body: object) -> EncryptionSettings | None:
    if body is None:
        return None
    where = f"[warehouse] in {home / SETTINGS_FILE}"
    if not isinstance(body, dict):
        raise SettingsError(f"{where} must be a table of settings.")
    unknown = set(body) - {"key_file", "httpfs"}
    if unknown:
        raise SettingsError(f"{where} has unknown settings: {', '.join(sorted(unknown))}.")
    for setting, value in body.items():
        if not isinstance(value, str) or not value:
            raise SettingsError(f"{where}: {setting} must be a text in quotes.")
    if "key_file" not in body:
        raise SettingsError(f"{where} needs key_file, the file that the warehouse's key is in.")
    return EncryptionSettings(
        key_file=home / body["key_file"],
        httpfs=home / body["httpfs"] if "httpfs" in body else None,
    )


def _review_database(home: Path, body: object) -> ReviewDatabase | None:
    if body is None or body == {"kind": "sqlite"}:
        return None
    where = f"[chart_audit] in {home / SETTINGS_FILE}"
    if not isinstance(body, dict) or body.get("kind") != "postgresql":
        raise SettingsError(f'{where} needs kind = "sqlite" and nothing else, or "postgresql".')
    unknown = set(body) - {"kind", "dsn_env", "dsn_file", "schema"}
    if unknown:
        raise SettingsError(f"{where} has unknown settings: {', '.join(sorted(unknown))}.")
    for setting, value in body.items():
        if not isinstance(value, str) or not value:
            raise SettingsError(f"{where}: {setting} must be a text in quotes.")
    if ("dsn_env" in body) == ("dsn_file" in body):
        raise SettingsError(f"{where} needs dsn_env or dsn_file, one of the two.")
    prefix = body.get("schema", "chart_audit")
    if not _PREFIX.fullmatch(prefix):
        raise SettingsError(
            f"{where}: schema must be small letters, digits and _, at most 20, a letter first."
        )
    file = home / body["dsn_file"] if "dsn_file" in body else None
    return ReviewDatabase(
        ConnectionString("The chart audit", "chart_audit", body.get("dsn_env"), file), prefix
    )


def _source(home: Path, name: str, body: object) -> SourceSettings:
    where = f"[sources.{name}] in {home / SETTINGS_FILE}"
    if not isinstance(body, dict):
        raise SettingsError(f"{where} must be a table of settings.")
    unknown = set(body) - {"kind", "path", "dsn_env", "dsn_file", "schema"}
    if unknown:
        raise SettingsError(f"{where} has unknown settings: {', '.join(sorted(unknown))}.")
    for setting, value in body.items():
        if not isinstance(value, str) or not value:
            raise SettingsError(f"{where}: {setting} must be a text in quotes.")
    kind = body.get("kind")
    if kind not in ("sqlite", "postgresql"):
        raise SettingsError(f'{where} needs kind = "sqlite" or "postgresql".')
    if kind == "sqlite" and "path" not in body:
        raise SettingsError(f"{where} needs a path.")
    return SourceSettings(
        name=name,
        kind=kind,
        path=home / body["path"] if "path" in body else None,
        dsn_env=body.get("dsn_env"),
        dsn_file=home / body["dsn_file"] if "dsn_file" in body else None,
        schema=body.get("schema", "public"),
    )
