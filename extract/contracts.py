"""The contracts: what the dbt source files declare about every operational table and column.

A column that is not declared here never leaves a database; a column without a privacy class stops
everything. The files are read as YAML nodes, so that every complaint names file and line.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import yaml

from governance.errors import ContractError

SOURCE_FILES = "models/staging/*/*__sources.yml"
CODE_SYSTEM_FILES = "seeds/code_systems"
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
_META_KEYS = frozenset(
    {"privacy", "key_domain", "source_type", "code_system", "code_pattern", "identity", "time_zone"}
)
# Columns that a table names, and the types they may have.
_ROLES: dict[str, tuple[str, ...]] = {
    "primary_key": (),
    "cursor": ("timestamp",),
    "partition_by": ("timestamp", "date"),
}


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

    ``data_type`` is its type in the lake; ``source_type`` its type in the operational database.
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


def load_contracts(project_root: Path) -> dict[str, SourceContract]:
    """Read every dbt source file of a project.

    Args:
        project_root: the directory that holds ``models/`` and ``seeds/``.

    Raises:
        ContractError: one line per fault, each with file and line.
    """
    files = sorted(project_root.glob(SOURCE_FILES))
    if not files:
        raise ContractError(
            f"There is no contract: no file {SOURCE_FILES} under {project_root}; "
            "run from the project's directory."
        )
    code_systems = {path.stem for path in (project_root / CODE_SYSTEM_FILES).glob("*.csv")}
    reader = _Reader(project_root, frozenset(code_systems) | REFERENCE_CODE_SYSTEMS)
    for path in files:
        reader.read_file(path)
    if reader.faults:
        raise ContractError("\n".join(reader.faults))
    return reader.sources


def operational_contracts(contracts: dict[str, SourceContract]) -> dict[str, SourceContract]:
    """Return the sources that are extracted from operational databases."""
    return {name: source for name, source in contracts.items() if source.is_operational}


class _Reader:
    """Collects sources and faults over all files."""

    def __init__(self, root: Path, code_systems: frozenset[str]) -> None:
        self.root = root
        self.code_systems = code_systems
        self.sources: dict[str, SourceContract] = {}
        self.faults: list[str] = []
        self._path = ""

    def read_file(self, path: Path) -> None:
        self._path = str(path.relative_to(self.root))
        try:
            document = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            self.faults.append(f"{self._path}:{line}: the file is not YAML: {error.problem}.")
            return
        if document is None:
            return
        for node in self._items(document, "sources"):
            self._read_source(node)

    def _read_source(self, node: yaml.Node) -> None:
        name = self._name(node, "source")
        if name is None:
            return
        is_operational = self._text(self._meta(node), "is_operational") == "true"
        known = self.sources.setdefault(name, SourceContract(name, is_operational))
        if known.is_operational != is_operational:
            self._fault(node, f"source {name} is operational in one file and not in another")
        for table in self._items(node, "tables"):
            self._read_table(known, table)

    def _read_table(self, source: SourceContract, node: yaml.Node) -> None:
        name = self._name(node, "table")
        if name is None:
            return
        label = f"{source.name}.{name}"
        if name in source.tables:
            self._fault(node, f"table {label} is declared twice")
            return
        columns: dict[str, ColumnContract] = {}
        before = len(self.faults)
        for item in self._items(node, "columns"):
            column = self._read_column(source, label, item)
            if column is not None and column.name in columns:
                self._fault(item, f"column {label}.{column.name} is declared twice")
            elif column is not None:
                columns[column.name] = column
        meta = self._meta(node)
        key = self._text(meta, "primary_key")
        cursor = self._text(meta, "cursor")
        partition_by = self._text(meta, "partition_by")
        if key is None:
            self._fault(node, f"table {label} has no primary_key in config.meta")
        if cursor is None and source.is_operational:
            self._fault(node, f"table {label} has no cursor in config.meta")
        if len(self.faults) == before:
            for role, types in _ROLES.items():
                self._check_role(node, label, columns, role=role, types=types)
        if len(self.faults) == before and key is not None:
            source.tables[name] = TableContract(
                source=source.name,
                name=name,
                columns=tuple(columns.values()),
                primary_key=key,
                where=self._where(node),
                cursor=cursor,
                partition_by=partition_by,
            )

    def _check_role(
        self,
        node: yaml.Node,
        label: str,
        columns: dict[str, ColumnContract],
        *,
        role: str,
        types: tuple[str, ...],
    ) -> None:
        name = self._text(self._meta(node), role)
        if name is None:
            return
        column = columns.get(name)
        if column is None:
            self._fault(node, f"{role} {name} of table {label} is not one of its columns")
        elif not column.goes_to_lake:
            self._fault(node, f"{role} {name} of table {label} does not go to the lake")
        elif types and column.data_type not in types:
            self._fault(node, f"{role} {name} of table {label} is no {' or '.join(types)}")

    def _read_column(
        self, source: SourceContract, label: str, node: yaml.Node
    ) -> ColumnContract | None:
        name = self._name(node, f"column of {label}")
        if name is None:
            return None
        label = f"{label}.{name}"
        meta_node = self._meta(node)
        meta = {key: self._text(meta_node, key) for key in self._mapping(meta_node)}
        before = len(self.faults)
        for key in sorted(set(meta) - _META_KEYS):
            self._fault(node, f"column {label} has the unknown setting {key} in config.meta")
        privacy = meta.get("privacy")
        if privacy is None:
            self._fault(node, f"column {label} has no privacy class (config.meta.privacy)")
        elif privacy not in PRIVACY_CLASSES:
            self._fault(node, f"column {label} has the unknown privacy class {privacy}")
        data_type = self._text(node, "data_type") or ""
        source_type = meta.get("source_type") or data_type
        for kind, value in (("data_type", data_type), ("source_type", source_type)):
            if arrow_type(value) is None:
                self._fault(node, f"column {label} has the {kind} {value or '(none)'}: unknown")
                break
        self._check_key(source, label, node, meta, data_type)
        self._check_code(label, node, meta, data_type)
        self._check_zone(label, node, meta, data_type)
        if len(self.faults) > before or privacy is None:
            return None
        return ColumnContract(
            name=name,
            data_type=data_type,
            privacy=privacy,
            source_type=source_type,
            where=self._where(node),
            key_domain=meta.get("key_domain"),
            code_system=meta.get("code_system"),
            code_pattern=meta.get("code_pattern"),
            identity=meta.get("identity"),
            time_zone=meta.get("time_zone"),
        )

    def _check_key(
        self,
        source: SourceContract,
        label: str,
        node: yaml.Node,
        meta: dict[str, str | None],
        data_type: str,
    ) -> None:
        source_type = meta.get("source_type") or data_type
        if not source.is_operational:
            return
        if meta.get("privacy") in KEY_CLASSES:
            if meta.get("key_domain") is None:
                self._fault(node, f"column {label} is a {meta['privacy']} without a key_domain")
            if data_type != "string" or source_type not in ("string", "int", "bigint"):
                self._fault(
                    node,
                    f"column {label} is a {meta['privacy']}: its data_type must be string (the "
                    "token) and its source_type string, int or bigint",
                )
        elif data_type not in (source_type, "string"):
            self._fault(node, f"column {label} cannot turn {source_type} into {data_type}")

    def _check_code(
        self, label: str, node: yaml.Node, meta: dict[str, str | None], data_type: str
    ) -> None:
        system, pattern = meta.get("code_system"), meta.get("code_pattern")
        if system is not None and system not in self.code_systems:
            self._fault(
                node,
                f"column {label} names the unknown code system {system}: "
                f"there is no {CODE_SYSTEM_FILES}/{system}.csv",
            )
        if system is not None and pattern is not None:
            self._fault(node, f"column {label} has both a code_system and a code_pattern")
        if (system or pattern) is not None and data_type != "string":
            self._fault(node, f"column {label} holds codes and is no string")
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error:
                self._fault(node, f"column {label} has a code_pattern that is no expression")

    def _check_zone(
        self, label: str, node: yaml.Node, meta: dict[str, str | None], data_type: str
    ) -> None:
        zone = meta.get("time_zone")
        if zone is None:
            return
        if data_type != "timestamp":
            self._fault(node, f"column {label} has a time_zone and is no timestamp")
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            self._fault(node, f"column {label} names the unknown time zone {zone}")

    def _meta(self, node: yaml.Node) -> yaml.Node | None:
        config = self._mapping(node).get("config")
        return self._mapping(config).get("meta")

    def _name(self, node: yaml.Node, what: str) -> str | None:
        name = self._text(node, "name")
        if name is None or re.fullmatch(r"[a-z][a-z0-9_]*", name) is None:
            # A name becomes a directory and part of a query: nothing else may stand in it.
            self._fault(node, f"a {what} has no name of lower-case letters, digits and _")
            return None
        return name

    def _items(self, node: yaml.Node | None, key: str) -> Iterator[yaml.Node]:
        child = self._mapping(node).get(key)
        if isinstance(child, yaml.SequenceNode):
            yield from child.value
        elif child is not None:
            self._fault(child, f"{key} is not a list")

    def _mapping(self, node: yaml.Node | None) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            return {}
        return {str(key.value): value for key, value in node.value}

    def _text(self, node: yaml.Node | None, key: str) -> str | None:
        child = self._mapping(node).get(key)
        return str(child.value) if isinstance(child, yaml.ScalarNode) else None

    def _where(self, node: yaml.Node) -> str:
        return f"{self._path}:{node.start_mark.line + 1}"

    def _fault(self, node: yaml.Node, sentence: str) -> None:
        self.faults.append(f"{self._where(node)}: {sentence}.")
