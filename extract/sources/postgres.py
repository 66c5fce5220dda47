"""PostgreSQL as a source: one exported snapshot, shared by every connection that reads.

The first connection exports its snapshot and then only stays open; the others adopt it. PostgreSQL
11 or later. The role needs ``select`` on the declared columns and nothing else.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
from adbc_driver_postgresql import dbapi

from extract.contracts import ColumnContract, TableContract
from extract.sources import postgres_sql as sql
from extract.sources.base import BATCH_ROWS, RawBatch, TableProfile
from governance.errors import SourceError
from governance.settings import SourceSettings

_BATCH_BYTES = 8 << 20
_DRIVER_ERRORS = (dbapi.Error, pa.ArrowException, OSError)

_TEXT = frozenset({"text", "character varying", "character", "citext", "uuid", "enum"})
_INTEGERS = frozenset({"smallint", "integer", "bigint"})
_FAMILIES: dict[str, frozenset[str]] = {
    "string": _TEXT,
    "int": frozenset({"smallint", "integer"}),
    "bigint": _INTEGERS,
    "boolean": frozenset({"boolean"}),
    "decimal": _INTEGERS | {"numeric"},
    "timestamp": frozenset({sql.INSTANT}),
    "date": frozenset({"date"}),
}

_LOST = "the connection broke off: see that the server is up and run the snapshot again"
_BROKEN_OFF = (
    "the server ended a query half-way: its log says why; where statement_timeout did it, raise "
    "that for this role"
)
_REFUSALS = {
    "22021": "it holds text that is not valid in the database's encoding: have it repaired there",
    "25P03": "the server ended an idle transaction: lift that limit for this role",
    "25P04": "the server ended a long transaction: raise transaction_timeout for this role",
    "40001": "the standby replayed changes over it: raise max_standby_streaming_delay or read "
    "from the primary",
    "42501": "the role may not read all of it: grant select on its declared columns, and "
    "bypassrls where row-level security hides rows",
    "42703": "a declared column is not there: compare the table with the contract",
    "42P01": "the table is not there: compare the database and its schema with the contract",
    "57014": "the server cancelled a query: raise statement_timeout for this role",
    "57P01": _LOST,
    "57P02": _LOST,
    "57P03": _LOST,
    "57P05": _LOST,
}
# The driver gives no SQLSTATE when a connection is refused. The server's words may be translated:
# the last line covers what is not recognised.
_NO_CONNECTION = (
    ("password", "the server refuses the user or the password: correct"),
    ("pg_hba", "the server admits no such connection: have it allowed in pg_hba.conf, or correct"),
    ("too many|connection slots", "the server has no free connection: try later, or see"),
    ('database "[^"]*" does not exist', "the server has no such database: correct"),
    ('role "[^"]*" does not exist', "the server has no such user: correct"),
    ("", "the server cannot be reached: see that it is up, and correct"),
)


@dataclass(frozen=True)
class Relation:
    """What the catalogue says of a table, as of the snapshot.

    ``types`` has every column's database type; ``not_null`` and ``unique`` the columns for which
    a constraint or an index vouches for every row.
    """

    types: Mapping[str, str]
    not_null: frozenset[str]
    unique: frozenset[str]


class PostgresSource:
    """A PostgreSQL database, held at one state from ``__enter__`` to ``__exit__``."""

    parallelism = 2

    def __init__(self, settings: SourceSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self._leader: Any = None
        self._taken_at: datetime | None = None
        self._snapshot = ""
        self._idle: list[Any] = []
        self._relations: dict[str, Relation | None] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Connect and export a snapshot.

        Raises:
            SourceError: the database is out of reach or refuses the role.
        """
        self._leader = self._connect()
        try:
            with self._leader.cursor() as cursor:
                _begin(cursor)
                cursor.execute("select pg_export_snapshot(), transaction_timestamp()")
                self._snapshot, self._taken_at = cursor.fetchone()
        except _DRIVER_ERRORS as error:
            sentence = self._refusal(error, None, self._leader)
            self.__exit__(None, None, None)
            raise SourceError(sentence) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every connection; one that a ``read`` still holds closes with that ``read``."""
        with self._lock:
            connections = [*self._idle, self._leader]
            self._idle, self._leader, self._snapshot = [], None, ""
        for connection in connections:
            _close(connection)

    @property
    def taken_at(self) -> datetime:
        """When the transaction began whose snapshot every connection reads, UTC."""
        if self._taken_at is None:
            raise SourceError(f"Source {self.name} is not open: enter it before reading.")
        return self._taken_at

    def columns(self, table: str) -> dict[str, str]:
        """Return the table's columns and their database types; empty if it is missing."""
        relation = self._relation(table)
        return dict(relation.types) if relation else {}

    def check_types(self, table: TableContract, found: Mapping[str, str]) -> list[str]:
        """Return the names of declared columns whose database type cannot be the declared one."""
        return [
            column.name
            for column in table.read_columns
            if column.name in found and not _fits(column, found[column.name])
        ]

    def profile(self, table: TableContract) -> TableProfile:
        """Count, sum and range every period of a table in one query."""
        relation = self._known(table)
        counted = tuple(c for c in table.lake_columns if c.name not in relation.not_null)
        name = self._qualified(table.name)
        with self._borrowed(table.name) as cursor:
            cursor.execute(sql.profile_query(table, name, relation.types, counted))
            partitions = tuple(sql.partition_profile(table, counted, r) for r in cursor.fetchall())
            duplicates = 0
            if table.primary_key not in relation.unique:
                cursor.execute(sql.duplicates_query(table, name))
                duplicates = cursor.fetchone()[0]
        return TableProfile(partitions, duplicates)

    def read(self, table: TableContract, period: str) -> Generator[RawBatch, None, None]:
        """Stream the declared columns of one period's rows.

        A connection is held until the iterator ends or is closed.
        """
        relation = self._known(table)
        query = sql.read_query(table, self._qualified(table.name), relation.types, period)
        with self._borrowed(table.name) as cursor:
            # Without a limit the driver holds 16 MB and more per batch and connection.
            cursor.adbc_statement.set_options(
                **{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)}
            )
            cursor.execute(query)
            for batch in cursor.fetch_record_batch():
                rows = _plain(batch)
                for start in range(0, rows.num_rows, BATCH_ROWS):
                    yield RawBatch(rows.slice(start, BATCH_ROWS))

    def _known(self, table: TableContract) -> Relation:
        relation = self._relation(table.name)
        where = f"Source {self.name}, table {table.name}"
        if relation is None:
            raise SourceError(f"{where}: {_REFUSALS['42P01']}.")
        if any(column.name not in relation.types for column in table.read_columns):
            raise SourceError(f"{where}: {_REFUSALS['42703']}.")
        return relation

    def _relation(self, table: str) -> Relation | None:
        with self._lock:
            if table in self._relations:
                return self._relations[table]
        with self._borrowed(table) as cursor:
            relation = self._look_up(cursor, table)
        with self._lock:
            return self._relations.setdefault(table, relation)

    def _look_up(self, cursor: Any, table: str) -> Relation | None:
        name = self._qualified(table)
        cursor.execute(sql.catalogue_query(self._settings.schema, table))
        rows = cursor.fetchall()
        if not rows:
            return None
        # Truncating or rebuilding a table is not bound by snapshots: to this transaction its old
        # rows would simply be gone. The lock forbids it from here on; the question tells whether
        # it happened between the snapshot and the lock.
        cursor.execute(f"select 1 from {name} limit 0")
        cursor.fetchall()
        cursor.execute(sql.same_storage_query(self._settings.schema, table))
        if cursor.fetchone() != (True,):
            raise SourceError(
                f"Source {self.name}, table {table}: it was emptied or rebuilt just as the "
                "snapshot was opened: run the snapshot again."
            )
        return Relation(
            types={column: kind for column, kind, _, _ in rows},
            not_null=frozenset(column for column, _, is_not_null, _ in rows if is_not_null),
            unique=frozenset(column for column, _, _, is_unique in rows if is_unique),
        )

    def _qualified(self, table: str) -> str:
        return f"{sql.quoted(self._settings.schema)}.{sql.quoted(table)}"

    @contextlib.contextmanager
    def _borrowed(self, table: str) -> Iterator[Any]:
        """Lend a cursor on a connection that sees the snapshot; keep only what ended well."""
        connection = self._adopting()
        is_sound = False
        try:
            with connection.cursor() as cursor:
                yield cursor
            is_sound = True
        except _DRIVER_ERRORS as error:
            raise SourceError(self._refusal(error, table, connection)) from None
        finally:
            with self._lock:
                is_kept = is_sound and bool(self._snapshot)
                if is_kept:
                    self._idle.append(connection)
            if not is_kept:
                _close(connection)

    def _adopting(self) -> Any:
        with self._lock:
            if not self._snapshot:
                raise SourceError(f"Source {self.name} is not open: enter it before reading.")
            if self._idle:
                return self._idle.pop()
        connection = self._connect()
        try:
            with connection.cursor() as cursor:
                _begin(cursor)
                cursor.execute(f"set transaction snapshot {sql.literal(self._snapshot)}")
        except _DRIVER_ERRORS:
            _close(connection)
            raise SourceError(
                f"Source {self.name}: the database no longer holds the snapshot: {_LOST}."
            ) from None
        return connection

    def _connect(self) -> Any:
        dsn = self._settings.dsn()
        try:
            return dbapi.connect(dsn)
        except _DRIVER_ERRORS as error:
            said = str(error)
        # The driver's words may hold parts of the connection string: none are repeated, and the
        # error is raised outside the handler, so that it does not carry them as its context.
        advice = next(advice for words, advice in _NO_CONNECTION if re.search(words, said))
        held = self._settings.dsn_env or self._settings.dsn_file
        raise SourceError(f"Source {self.name}: {advice} the connection string in {held}.")

    def _refusal(self, error: Exception, table: str | None, connection: Any) -> str:
        where = f"Source {self.name}" + (f", table {table}" if table else "")
        state = getattr(error, "sqlstate", None)
        if state in _REFUSALS:
            return f"{where}: {_REFUSALS[state]}."
        # Within a stream the driver reports no SQLSTATE: a server that still answers has ended
        # the query, not the connection.
        try:
            connection.rollback()
        except _DRIVER_ERRORS:
            return f"{where}: {_LOST}."
        if state is None:
            return f"{where}: {_BROKEN_OFF}."
        return f"{where}: the server refused a query (SQLSTATE {state}): its log says why."


def _begin(cursor: Any) -> None:
    cursor.execute("set transaction isolation level repeatable read, read only")
    cursor.execute("set time zone 'UTC'")
    cursor.execute("set datestyle = 'ISO'")
    cursor.execute("set client_encoding = 'UTF8'")
    cursor.execute("set standard_conforming_strings = on")
    # A policy that hides rows must be an error: otherwise a part would pass for the whole.
    cursor.execute("set row_security = off")
    # The first connection is idle for as long as the others read.
    cursor.execute("set idle_in_transaction_session_timeout = 0")


def _close(connection: Any) -> None:
    if connection is not None:
        with contextlib.suppress(*_DRIVER_ERRORS):
            connection.close()


def _fits(column: ColumnContract, database_type: str) -> bool:
    kind = sql.base_type(database_type)
    if kind == sql.LOCAL_CLOCK and column.source_type == "timestamp":
        return column.time_zone is not None
    return kind in _FAMILIES[column.source_type.partition("(")[0]]


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch without the driver's notes on every field."""
    schema = pa.schema([pa.field(field.name, field.type) for field in batch.schema])
    return pa.RecordBatch.from_arrays(batch.columns, schema=schema)
