"""What the tests of PostgreSQL as a source share: tables, contracts of them, a source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from adbc_driver_postgresql import dbapi

from extract.contracts import ColumnContract, TableContract
from extract.sources.base import PartitionProfile
from extract.sources.postgres import PostgresSource
from governance.settings import SourceSettings

DSN_ENV = "SCUTARI_TEST_DSN"


def dsn_of(data: Path, user: str = "postgres", database: str = "postgres", **more: str) -> str:
    """Return the connection string of a server whose socket is in its data directory."""
    options = "".join(f"&{key}={value}" for key, value in more.items())
    return f"postgresql://{user}@/{database}?host={data}{options}"


def run(dsn: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run and commit statements; return the rows of the last where it is a query."""
    with dbapi.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
        # A connection that a failed test left open must not hold up the next one.
        cursor.execute("set lock_timeout = '10s'")
        cursor.execute("set client_encoding = 'UTF8'")
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if statements[-1].startswith("select") else []


def source_of(monkeypatch: pytest.MonkeyPatch, dsn: str, schema: str = "public") -> PostgresSource:
    """Return a source that is not yet entered."""
    monkeypatch.setenv(DSN_ENV, dsn)
    return PostgresSource(SourceSettings("ehr", "postgresql", dsn_env=DSN_ENV, schema=schema))


def column(
    name: str, kind: str, privacy: str = "administrative", time_zone: str | None = None
) -> ColumnContract:
    """Return the contract of a column whose type in the database is ``kind``."""
    is_key = privacy in ("record_key", "person_key")
    data_type = "string" if is_key else kind
    return ColumnContract(name, data_type, privacy, kind, "a.yml:1", time_zone=time_zone)


def table_of(
    name: str,
    *columns: ColumnContract,
    partition_by: str | None = None,
    cursor: str | None = None,
) -> TableContract:
    """Return the contract of a table; its first column is its key."""
    return TableContract(
        "ehr", name, columns, columns[0].name, "a.yml:1", cursor=cursor, partition_by=partition_by
    )


def rows_of(source: PostgresSource, table: TableContract, period: str = "all") -> list[Any]:
    """Read a period's rows as dictionaries; values must be within Python's range."""
    return [row for batch in source.read(table, period) for row in batch.rows.to_pylist()]


def ids_of(source: PostgresSource, table: TableContract, period: str) -> set[int]:
    """Read a period's keys."""
    return {key for batch in source.read(table, period) for key in batch.rows["id"].to_pylist()}


def profile_of(source: PostgresSource, table: TableContract) -> dict[str, PartitionProfile]:
    """Profile a table; by period."""
    return {partition.period: partition for partition in source.profile(table).partitions}


ID = column("id", "bigint", "record_key")

KINDS = table_of(
    "kinds",
    ID,
    column("words", "string"),
    column("code", "string"),
    column("token", "string"),
    column("status", "string"),
    column("small", "int"),
    column("plain", "int"),
    column("flag", "boolean"),
    column("amount", "decimal(10,2)"),
    column("exact", "decimal(38,3)"),
    column("at", "timestamp"),
    column("clock", "timestamp", time_zone="America/Toronto"),
    column("born", "date"),
)

VISITS = table_of(
    "visits",
    ID,
    column("name", "string", "identifier"),
    column("code", "string"),
    column("note", "string", "free_text"),
    column("beds", "int"),
    column("cost", "decimal(10,2)"),
    column("at", "timestamp"),
    column("updated_at", "timestamp"),
    partition_by="at",
    cursor="updated_at",
)
OLD, NEW = "'2024-07-01 00:00+00'", "'2024-07-02 00:00:00.5+00'"


def plant_kinds(dsn: str) -> None:
    """Fill the table ``kinds`` anew."""
    run(
        dsn,
        "drop table if exists kinds",
        "drop type if exists stage",
        "drop domain if exists wording",
        "create type stage as enum ('open', 'closed')",
        "create domain wording as varchar(9)",
        "create table kinds (born date, id bigint primary key, words wording, code char(5),"
        " token uuid, status stage, small smallint, plain integer, flag boolean,"
        " amount numeric(10,2), exact numeric, at timestamptz, clock timestamp,"
        " internal_note text)",
        "insert into kinds values"
        " ('1820-05-12', 1, 'Zoë', 'I21', '0E37DF36-F698-11E6-8DD4-CB9CED3DF976', 'open', -7,"
        " 70000, true, 12.5, 12345678901234567890123456789012345.678, '2024-06-01 08:00-04',"
        " '2024-06-01 08:00', 'never to be read'),"
        " (null, 2, null, null, null, null, null, null, null, null, null, null, null, null),"
        " ('infinity', 3, '', 'a b', null, 'closed', 0, 0, false, 'NaN', 'Infinity', 'infinity',"
        " 'infinity', 'n'),"
        " ('-infinity', 4, '', '', null, 'closed', 0, 0, false, -0.05, '-Infinity', '-infinity',"
        " '-infinity', 'n'),"
        " ('9999-12-31', 5, '', '', null, 'closed', 0, 0, false, 0, 1e-30,"
        " '9999-12-31 23:59:59.999999+00', '9999-12-31', 'n'),"
        " ('0044-03-15 BC', 6, '', '', null, 'closed', 0, 0, false, 0, 'NaN',"
        " '0044-03-15 12:00+00 BC', '0044-03-15 BC', 'n'),"
        " ('5874897-12-31', 7, '', '', null, 'closed', 0, 0, false, 0, 0, '294276-12-31',"
        " '294276-12-31', 'n')",
    )


def plant_visits(dsn: str) -> None:
    """Fill the table ``visits`` anew."""
    run(
        dsn,
        "drop table if exists visits",
        "create table visits (id bigint primary key, name text, code text not null, note text,"
        " beds integer, cost numeric(10,2), at timestamptz, updated_at timestamptz, extra text)",
        "insert into visits values"
        # The last microsecond of May in UTC, written at a place where it is June already.
        f" (1, 'n', 'a', 'n', 1, 0.10, '2024-06-01 01:59:59.999999+02', {OLD}, 'x'),"
        f" (2, 'n', 'a', 'n', 2, 0.20, '2024-06-01 00:00+00', {OLD}, 'x'),"
        f" (-3, null, 'b', 'n', null, 'NaN', '2024-06-30 23:59:59.999999+00', {NEW}, 'x'),"
        f" (4, 'n', 'b', 'n', 2147483647, null, '2024-06-15 00:00+00', {OLD}, 'x'),"
        f" (5, 'n', 'b', 'n', 2147483647, 99999999.99, '2024-06-15 00:00+00', null, 'x'),"
        f" (6, 'n', 'b', 'n', 0, 1, null, {OLD}, 'x'),"
        f" (7, 'n', 'b', 'n', 0, 1, 'infinity', {OLD}, 'x'),"
        f" (8, 'n', 'b', 'n', 0, 1, '-infinity', {OLD}, 'x'),"
        f" (9, 'n', 'b', 'n', 0, 1, '0001-12-31 BC', {OLD}, 'x'),"
        f" (10, 'n', 'b', 'n', 0, 1, '10000-01-01 00:00+00', {OLD}, 'x'),"
        f" (11, 'n', 'b', 'n', 0, 1, '0001-01-01 00:00+00', {OLD}, 'x'),"
        f" (12, 'n', 'b', 'n', 0, 1, '9999-12-31 23:59:59.999999+00', {OLD}, 'x')",
    )
