"""Writes operational tables into PostgreSQL by COPY, and puts them in place at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
import pyarrow.types as pat
from adbc_driver_postgresql import dbapi

from demo.columns import ZONE_COLUMN
from demo.schema import TABLES, Table, postgres_ddl

_BUILDING = "scutari_demo_building"


def write_database(
    dsn: str,
    source: str,
    tables: Iterable[tuple[str, Iterable[pa.Table]]],
    progress: Callable[[str], None],
    *,
    statements: Iterable[str] = (),
    schema: str = "public",
) -> dict[str, int]:
    """Write one operational database in one transaction.

    The tables are built in a schema of their own and moved at the end: readers of the old ones wait
    only for the move, and a run that dies leaves them untouched.

    Args:
        dsn: connection string.
        source: ``ehr`` or ``billing``.
        tables: each table's name and its rows, in chunks.
        progress: is told about every table written.
        statements: last changes, with ``{schema}`` where the tables are.
        schema: where the tables end up.

    Returns:
        Rows per table.
    """
    counts: dict[str, int] = {}
    with dbapi.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {_BUILDING} CASCADE")
        cursor.execute(f"CREATE SCHEMA {_BUILDING}")
        for name, rows in tables:
            table = TABLES[source][name]
            cursor.execute(postgres_ddl(table, _BUILDING))
            counts[name] = cursor.adbc_ingest(
                name, _reader(table, rows), mode="append", db_schema_name=_BUILDING
            )
            progress(f"{source}.{name}: {counts[name]:,} rows")
        for statement in statements:
            cursor.execute(statement.format(schema=_BUILDING))
        for name in counts:
            cursor.execute(f'DROP TABLE IF EXISTS "{schema}".{name}')
            cursor.execute(f'ALTER TABLE {_BUILDING}.{name} SET SCHEMA "{schema}"')
        cursor.execute(f"DROP SCHEMA {_BUILDING}")
        connection.commit()
    return counts


def _reader(table: Table, rows: Iterable[pa.Table]) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(_schema(table), _batches(table, rows))


def _schema(table: Table) -> pa.Schema:
    # COPY takes microseconds only.
    return pa.schema(
        [
            (
                field.name,
                pa.timestamp("us", tz="UTC") if pat.is_timestamp(field.type) else field.type,
            )
            for field in table.arrow
        ]
    )


def _batches(table: Table, rows: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
    schema = _schema(table)
    for chunk in rows:
        kept = chunk.drop_columns([ZONE_COLUMN]).select(schema.names)
        yield from kept.cast(schema).to_batches()
