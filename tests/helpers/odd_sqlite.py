"""SQLite tables that hold anything in any column, and their way through extraction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow.parquet.encryption import create_encryption_properties

from extract.contracts import ColumnContract, TableContract
from extract.convert import Converter
from extract.identity.tokens import Tokeniser
from extract.lake import Partition
from extract.partitions import write_partition
from extract.reconcile import Outcome, read_footer, reconcile
from extract.sources.base import PartitionProfile
from extract.sources.sqlite import SqliteSource
from governance.settings import SourceSettings

SECRET = bytes(range(32))
CODES = {"sex": pa.array(["F", "M"])}
KINDS = ("string", "int", "bigint", "boolean", "decimal(10,2)", "date", "timestamp")


class Garbled(bytes):
    """Bytes that stand in the database as text, whether they are UTF-8 or not."""


def odd_table(key_type: str = "bigint") -> TableContract:
    """A table with a column of every kind: ``c_<type>``, a code, a key, an identifier."""
    key = ColumnContract("id", "string", "record_key", key_type, "f:1", key_domain="s.row")
    plain = (
        ColumnContract(f"c_{kind.partition('(')[0]}", kind, "clinical", kind, "f:2")
        for kind in KINDS
    )
    more = (
        ColumnContract("code", "string", "clinical", "string", "f:3", code_system="sex"),
        ColumnContract("other", "string", "record_key", "bigint", "f:4", key_domain="s.other"),
        ColumnContract("name", "string", "identifier", "string", "f:5"),
        ColumnContract("moved_at", "timestamp", "administrative", "timestamp", "f:6"),
        ColumnContract("seen_at", "timestamp", "date", "timestamp", "f:7"),
    )
    columns = (key, *plain, *more)
    return TableContract(
        "s", "rows", columns, "id", "f:1", cursor="moved_at", partition_by="seen_at"
    )


def plant(path: Path, table: TableContract, rows: Sequence[Sequence[Any]]) -> None:
    """Write a table whose columns have no type, so that every value stays as it is given."""
    names = ", ".join(column.name for column in table.columns)
    connection = sqlite3.connect(path)
    try:
        with connection:
            connection.execute(f"create table {table.name} ({names})")
            for row in rows:
                places = ("cast(? as text)" if isinstance(v, Garbled) else "?" for v in row)
                values = [bytes(v) if isinstance(v, Garbled) else v for v in row]
                connection.execute(f"insert into {table.name} values ({', '.join(places)})", values)
    finally:
        connection.close()


def open_sqlite(path: Path) -> SqliteSource:
    """The source over one file, not yet open."""
    return SqliteSource(SourceSettings("s", "sqlite", path))


def extract_rows(home: Path, source: SqliteSource, table: TableContract) -> list[Outcome]:
    """Profile, read and write every period, as a snapshot does."""
    converter = Converter(table, CODES, Tokeniser(SECRET))
    return [
        _written(home, source, table, converter, part) for part in source.profile(table).partitions
    ]


def unequal(table: TableContract, outcomes: list[Outcome]) -> list[str]:
    """The checks in which database and lake do not add up."""
    checks = reconcile(table, outcomes, SECRET)
    assert len(checks) > len(table.lake_columns)
    return [check.check_key for check in checks if not check.is_equal]


def _written(
    home: Path,
    source: SqliteSource,
    table: TableContract,
    converter: Converter,
    part: PartitionProfile,
) -> Outcome:
    lake, vault, quarantine = (
        home / zone / f"{part.period}.parquet" for zone in ("lake", "vault", "quarantine")
    )
    batches = source.read(table, part.period)
    tally = write_partition(
        table,
        converter,
        batches,
        lake=lake,
        vault=vault,
        vault_encryption=create_encryption_properties(bytes(32)),
        quarantine=quarantine,
    )
    partition = Partition(
        rows=tally.rows,
        dropped=tally.dropped,
        digest="",
        emptied=dict(tally.emptied),
        dropped_nulls=dict(tally.dropped_nulls),
    )
    return Outcome(part, partition, read_footer(lake), tally)
