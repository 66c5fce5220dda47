"""Reads the contracts from the dbt source files; every complaint names file and line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import yaml

from extract.contracts import (
    CODE_SYSTEM_FILES,
    KEY_CLASSES,
    MORE_CODE_SYSTEMS,
    PRIVACY_CLASSES,
    REFERENCE_CODE_SYSTEMS,
    SOURCE_FILES,
    ColumnContract,
    SourceContract,
    TableContract,
    arrow_type,
)
from governance.errors import ContractError

_NULL = "tag:yaml.org,2002:null"
# The same in C, where PyYAML was built with it: a tenth of the time.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_META_KEYS = frozenset(
    {
        "privacy",
        "key_domain",
        "source_type",
        "code_system",
        "code_pattern",
        "identity",
        "time_zone",
        "is_required",
        "is_token",
    }
)
# Columns that a table names, and the types they may have.
_ROLES: dict[str, tuple[str, ...]] = {
    "primary_key": (),
    "cursor": ("timestamp",),
    "partition_by": ("timestamp", "date"),
}


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
    code_systems |= {*MORE_CODE_SYSTEMS}
    reader = _Reader(project_root, frozenset(code_systems) | REFERENCE_CODE_SYSTEMS)
    for path in files:
        reader.read_file(path)
    if not reader.faults:
        reader.check_code_tables()
    if reader.faults:
        raise ContractError("\n".join(reader.faults))
    return reader.sources


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
            document = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            self.faults.append(f"{self._path}:{line}: the file is not YAML: {error.problem}.")
            return
        except (yaml.YAMLError, UnicodeDecodeError):
            self.faults.append(f"{self._path}:1: the file holds bytes that YAML does not allow.")
            return
        if document is None:
            return
        self._refuse_doubles(document, set())
        for node in self._items(document, "sources"):
            self._read_source(node)

    def check_code_tables(self) -> None:
        """Find columns whose codes are the keys of a table that is not there, or has no codes."""
        for source in self.sources.values():
            for table in source.tables.values():
                for column in table.columns:
                    self._check_code_table(f"{source.name}.{table.name}", column)

    def _check_code_table(self, label: str, column: ColumnContract) -> None:
        if column.code_table is None:
            return
        source = self.sources.get(column.code_table[0])
        table = source.tables.get(column.code_table[1]) if source else None
        if source is None or table is None or not source.is_operational:
            self.faults.append(
                f"{column.where}: column {label}.{column.name} names the codes of "
                f"{column.code_system}, which is no operational table."
            )
        elif table.key.is_key or table.key.code_pattern is None:
            self.faults.append(
                f"{column.where}: column {label}.{column.name} names the codes of "
                f"{column.code_system}, whose primary key has no code_pattern."
            )

    def _refuse_doubles(self, node: yaml.Node, seen: set[int]) -> None:
        """Find keys that stand twice in a mapping: YAML takes the last, which may be the laxer."""
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            return
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                if str(key.value) in keys:
                    self._fault(key, f"{key.value} stands here a second time")
                keys.add(str(key.value))
                self._refuse_doubles(value, seen)
        else:
            for item in node.value:
                self._refuse_doubles(item, seen)

    def _read_source(self, node: yaml.Node) -> None:
        name = self._name(node, "source")
        if name is None:
            return
        written = self._text(self._meta(node), "is_operational") or "false"
        if written.lower() not in ("true", "false"):
            self._fault(node, f"is_operational of source {name} is neither true nor false")
        is_operational = written.lower() == "true"
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
        if source.is_operational:
            self._refuse_open_texts(label, columns)
        meta = self._meta(node)
        key = self._text(meta, "primary_key")
        cursor = self._text(meta, "cursor")
        partition_by = self._text(meta, "partition_by")
        subject = self._text(meta, "subject")
        if subject not in (None, "organisation"):
            self._fault(node, f"subject of table {label} is not organisation")
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
                subject=subject,
            )

    def _refuse_open_texts(self, label: str, columns: dict[str, ColumnContract]) -> None:
        """Where a table's rows are about somebody, any text could be, too: only codes may pass."""
        if not any(column.is_key for column in columns.values()):
            return
        for column in columns.values():
            is_text = column.goes_to_lake and column.data_type == "string" and not column.is_key
            if is_text and column.code_system is None and column.code_pattern is None:
                self.faults.append(
                    f"{column.where}: column {label}.{column.name} would let any text into the "
                    "lake (a code_system or code_pattern is missing)."
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
        elif role == "primary_key" and column.is_token:
            # Two tokens of different epochs can be those of one record.
            self._fault(node, f"{role} {name} of table {label} holds tokens of other records")
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
        self._check_token(source, label, node, meta)
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
            is_required=meta.get("is_required") == "true",
            is_token=meta.get("is_token") == "true",
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

    def _check_token(
        self, source: SourceContract, label: str, node: yaml.Node, meta: dict[str, str | None]
    ) -> None:
        written = meta.get("is_token")
        if written not in (None, "true", "false"):
            self._fault(node, f"is_token of column {label} is neither true nor false")
        if written != "true":
            return
        domain, source_type = meta.get("key_domain") or "", meta.get("source_type") or "string"
        if meta.get("privacy") not in KEY_CLASSES or source_type != "string":
            self._fault(node, f"column {label} holds tokens: it must be a key of type string")
        if domain.partition(".")[0] == source.name:
            # What it names must be read before it.
            self._fault(node, f"column {label} holds tokens of its own source's key domain")

    def _check_code(
        self, label: str, node: yaml.Node, meta: dict[str, str | None], data_type: str
    ) -> None:
        system, pattern = meta.get("code_system"), meta.get("code_pattern")
        if meta.get("is_required") not in (None, "true", "false"):
            self._fault(node, f"is_required of column {label} is neither true nor false")
        if system is not None and "." not in system and system not in self.code_systems:
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
        # A key without a value says nothing: an empty key_domain is none.
        is_said = isinstance(child, yaml.ScalarNode) and child.tag != _NULL and child.value != ""
        return str(child.value) if child is not None and is_said else None

    def _where(self, node: yaml.Node) -> str:
        return f"{self._path}:{node.start_mark.line + 1}"

    def _fault(self, node: yaml.Node, sentence: str) -> None:
        self.faults.append(f"{self._where(node)}: {sentence}.")
