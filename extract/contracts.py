"""The contracts: what the dbt source files declare about every operational table and column.

A column that is not declared here never leaves a database; a column without a privacy class stops
everything.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa

from governance.errors import ContractError

SOURCE_FILES = "models/staging/*/*__sources.yml"
CODE_SYSTEM_FILES = "seeds/code_systems"
# Lists of codes that are kept with what they belong to.
MORE_CODE_SYSTEMS = {"audit_codes": "seeds/chart_audit"}
REFERENCE_CODE_SYSTEMS = frozenset({"icd10cm"})

KEY_CLASSES = frozenset({"person_key", "record_key"})
VAULT_CLASSES = frozenset({"identifier", "device_identifier"})
DROPPED_CLASSES = frozenset({"free_text"})
PRIVACY_CLASSES = (
    KEY_CLASSES
    | VAULT_CLASSES
    | DROPPED_CLASSES
    | {"birth_date", "date", "geography", "sensitive", "clinical", "administrative"}
)

_SIMPLE_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
}
_DECIMAL = re.compile(r"decimal\((\d{1,2}),\s*(\d{1,2})\)")
_MAX_PRECISION = 38


def arrow_type(data_type: str) -> pa.DataType | None:
    """Return the Parquet type of a declared ``data_type``, or None where there is none."""
    simple = _SIMPLE_TYPES.get(data_type)
    if simple is not None:
        return simple
    match = _DECIMAL.fullmatch(data_type)
    if match is None:
        return None
    precision, scale = int(match[1]), int(match[2])
    if not 1 <= precision <= _MAX_PRECISION or scale > precision:
        return None
    return pa.decimal128(precision, scale)


@dataclass(frozen=True)
class ColumnContract:
    """One declared column.

    ``data_type`` is its type in the lake; ``source_type`` its type in the operational database;
    ``is_token``: the database itself holds tokens of ours of the key domain, not keys.
    """

    name: str
    data_type: str
    privacy: str
    source_type: str
    where: str
    key_domain: str | None = None
    code_system: str | None = None
    code_pattern: str | None = None
    identity: str | None = None
    time_zone: str | None = None
    is_required: bool = False
    is_token: bool = False

    @property
    def code_table(self) -> tuple[str, str] | None:
        """Source and table whose primary keys are the codes; None where a file lists them."""
        source, dot, table = (self.code_system or "").partition(".")
        return (source, table) if dot else None

    @property
    def is_key(self) -> bool:
        """Whether the lake holds a token in the place of the value."""
        return self.privacy in KEY_CLASSES

    @property
    def goes_to_lake(self) -> bool:
        """Whether the lake has this column."""
        return self.privacy not in VAULT_CLASSES | DROPPED_CLASSES

    @property
    def goes_to_vault(self) -> bool:
        """Whether the vault has this column: identifiers, and what persons are matched by."""
        return (
            self.privacy in VAULT_CLASSES
            or self.identity is not None
            or self.code_system == "identity_status"
        )

    @property
    def is_read(self) -> bool:
        """Whether the column leaves the operational database at all."""
        return self.privacy not in DROPPED_CLASSES

    @property
    def is_summed(self) -> bool:
        """Whether reconciliation compares the column's sum."""
        return (
            self.goes_to_lake
            and not self.is_key
            and self.source_type == self.data_type
            and (self.data_type in ("int", "bigint") or self.data_type.startswith("decimal"))
        )

    @cached_property
    def arrow_type(self) -> pa.DataType:
        """The column's type in Parquet; for a key, the token's."""
        found = arrow_type(self.data_type)
        if found is None:
            raise ContractError(f"{self.where}: column {self.name} has no Parquet type.")
        return found


@dataclass(frozen=True)
class TableContract:
    """One declared table."""

    source: str
    name: str
    columns: tuple[ColumnContract, ...]
    primary_key: str
    where: str
    cursor: str | None = None
    partition_by: str | None = None
    # `organisation` where no row is about a patient; see extract/erasure/belonging.py.
    subject: str | None = None

    @cached_property
    def by_name(self) -> dict[str, ColumnContract]:
        """The columns by name."""
        return {column.name: column for column in self.columns}

    @property
    def key(self) -> ColumnContract:
        """The primary key's column."""
        return self.by_name[self.primary_key]

    @cached_property
    def read_columns(self) -> tuple[ColumnContract, ...]:
        """What a source reads: everything declared but free text."""
        return tuple(column for column in self.columns if column.is_read)

    @cached_property
    def lake_columns(self) -> tuple[ColumnContract, ...]:
        """What the lake holds."""
        return tuple(column for column in self.columns if column.goes_to_lake)

    @cached_property
    def vault_columns(self) -> tuple[ColumnContract, ...]:
        """What the vault holds beside the raw key; empty for most tables."""
        if not any(column.privacy in VAULT_CLASSES for column in self.columns):
            return ()
        return tuple(column for column in self.columns if column.goes_to_vault)

    @property
    def is_registration(self) -> bool:
        """Whether a row registers a person: its primary key is a person key."""
        return self.key.privacy == "person_key"

    @cached_property
    def lake_schema(self) -> pa.Schema:
        """The Parquet schema of the table's lake files."""
        return pa.schema([pa.field(c.name, c.arrow_type) for c in self.lake_columns])

    @cached_property
    def contract_hash(self) -> str:
        """A digest of everything about the table that decides what its lake files hold."""
        fields = [
            [
                c.name,
                c.data_type,
                c.privacy,
                c.source_type,
                c.key_domain,
                c.code_system,
                c.code_pattern,
                c.identity,
                c.time_zone,
                c.is_required,
                *(["is_token"] if c.is_token else []),
            ]
            for c in self.columns
        ]
        body = [self.source, self.name, self.primary_key, self.cursor, self.partition_by, fields]
        return hashlib.sha256(json.dumps(body).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class SourceContract:
    """One dbt source; only an operational one is extracted."""

    name: str
    is_operational: bool
    tables: dict[str, TableContract] = field(default_factory=dict)


def operational_contracts(contracts: dict[str, SourceContract]) -> dict[str, SourceContract]:
    """Return the sources that are extracted from operational databases."""
    return {name: source for name, source in contracts.items() if source.is_operational}
