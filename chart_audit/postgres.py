"""Chart reviews in PostgreSQL, for pages on several machines: a schema for each hospital.

The same tables as in a SQLite file. A connection's search path names one schema alone, so that no
statement reaches another hospital's. Who writes locks ``cases`` against other writers, not readers.
Of a refusal no more is told than its SQLSTATE: the server's words may hold what somebody typed.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from adbc_driver_postgresql import dbapi

from chart_audit.files import require_hospital
from chart_audit.postgres_schema import GUARDS, REMOVAL, TABLES
from chart_audit.schema import ROWS, VERSION, wrong_version
from chart_audit.sqlite import hospitals as files
from governance.errors import ChartAuditError
from governance.settings import ReviewDatabase, Settings

_DRIVER_ERRORS = (dbapi.Error, pa.ArrowException)
_TIMES = {"connect_timeout": "10", "tcp_user_timeout": "60000"}
_LONGEST_NAME = 63
# A page that hangs is worse than one that says so; a client that died must not keep its lock.
_SESSION = {
    "client_encoding": "UTF8",
    "lock_timeout": "10s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",
    # A save that is confirmed is on the server's disk, whatever the role's default is.
    "synchronous_commit": "on",
}
_BUSY = "somebody else is saving: nothing of it was overwritten, save again"
_NO_RIGHT = "its role lacks a right: see docs/chart_audit.md for those that it needs"
_LOST = "the connection to the database broke off: open the review again and see what is saved"
_REFUSALS = {
    "25006": "the database takes no writes: name the primary server in the connection string",
    "08006": _LOST,
    "25P03": _LOST,
    "40001": _BUSY,
    "40P01": _BUSY,
    "3F000": _NO_RIGHT,
    "42501": _NO_RIGHT,
    "42P01": "a table is not there: restore its schema from the backup",
    "53100": "the server's disk is full: free space",
    "55P03": _BUSY,
    "57014": "the server cancelled it: save again, and see the server's log if it happens twice",
    "57P01": _LOST,
    "57P02": _LOST,
}
# The driver gives no SQLSTATE when a connection is refused; the server's words may be translated.
_NO_CONNECTION = (
    ("password", "the server refuses the user or the password"),
    ("pg_hba", "the server admits no such connection"),
    ("too many|connection slots", "the server has no free connection"),
    ('database "[^"]*" does not exist', "the server has no such database"),
    ('role "[^"]*" does not exist', "the server has no such user"),
    ("", "the server cannot be reached"),
)


@contextmanager
def opened(settings: Settings, where: ReviewDatabase, hospital: str) -> Iterator[PostgresDatabase]:
    """Open a hospital's schema, and make it at its first use."""
    _require_no_files(settings)
    with opened_beside_files(where, hospital) as database:
        yield database


@contextmanager
def opened_beside_files(where: ReviewDatabase, hospital: str) -> Iterator[PostgresDatabase]:
    """Open a hospital's schema though its file may still be there: to move it."""
    require_hospital(hospital)
    schema = f"{where.prefix}-{hospital}"
    if len(schema) > _LONGEST_NAME:
        raise ChartAuditError(f"The key of hospital {hospital} is too long to name a schema.")
    with _connected(where) as cursor:
        yield PostgresDatabase(cursor, schema, hospital)


def hospitals(settings: Settings, where: ReviewDatabase) -> list[str]:
    """Return every hospital that has a schema, one that this role may not read, too."""
    _require_no_files(settings)
    start = f"{where.prefix}-"
    with _connected(where) as cursor, _refusals("The chart audit cannot be read"):
        cursor.execute(
            "select schemaname from pg_tables "
            "where starts_with(schemaname, $1) and tablename = 'store_version'",
            (start,),
        )
        return sorted(name.removeprefix(start) for (name,) in cursor.fetchall())


def forget(settings: Settings, where: ReviewDatabase) -> None:
    """Drop every schema."""
    names = hospitals(settings, where)
    with _connected(where) as cursor, _refusals("The made-up reviews were not removed"):
        for name in names:
            cursor.execute(f"drop schema {_quoted(f'{where.prefix}-{name}')} cascade")


class PostgresDatabase:
    """One hospital's schema, on a connection that names no other."""

    def __init__(self, cursor: Any, schema: str, hospital: str) -> None:
        self._cursor = cursor
        self._schema = schema
        self._whose = f"The chart audit of hospital {hospital}"
        self._review = f"The review of hospital {hospital}"
        with _refusals(f"{self._whose} cannot be opened"):
            for name, value in (_SESSION | {"search_path": _quoted(schema)}).items():
                self._set(name, value, is_local=False)
            version = self._version()
            if version is None:
                self._make()
                version = self._version()
        if version != VERSION:
            raise wrong_version(hospital, version)

    def execute(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; return its rows."""
        numbers = itertools.count(1)
        statement = re.sub(r"\?", lambda _: f"${next(numbers)}", statement)
        # Without parameters the driver reads by COPY, which only a query can be.
        self._cursor.execute(statement, tuple(values) or None)
        return [tuple(row) for row in self._cursor.fetchall()]

    def execute_many(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        """Run one statement for each row of values."""
        for row in rows:
            self.execute(statement, row)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write while nobody else writes to the schema: all of it, or nothing."""
        with (
            _refusals(f"{self._review} was not saved"),
            self._between("begin isolation level read committed read write"),
        ):
            # Each statement after it sees all that was committed before the lock was granted.
            self.execute("lock table cases in exclusive mode")
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read one state of the schema; no writer is kept waiting."""
        with (
            _refusals(f"{self._whose} cannot be read"),
            self._between("begin isolation level repeatable read read only"),
        ):
            yield

    @contextmanager
    def removing(self) -> Iterator[None]:
        """Tell the guards, until the transaction ends at the latest, that a case is taken out."""
        self._set(REMOVAL, "yes", is_local=True)
        yield
        self._set(REMOVAL, "", is_local=True)

    def wipe(self) -> None:
        """Write the tables anew without what was deleted: an update or delete leaves old rows."""
        with _refusals(f"{self._whose} was not written anew, and removed reviews may lie in it"):
            self.execute(f"vacuum (full) {', '.join(ROWS)}")

    def _make(self) -> None:
        # Two who open it for the first time at once would both make it. Taken before the
        # transaction: within one, the server does not see that its search path has come to be.
        self.execute("select pg_advisory_lock(hashtextextended(?, 0))", (self._schema,))
        with self._between("begin isolation level read committed read write"):
            if self._version() is None:
                self._make_tables()
        # Where it fails before this, the connection ends and its lock with it.
        self.execute("select pg_advisory_unlock(hashtextextended(?, 0))", (self._schema,))

    def _make_tables(self) -> None:
        if not self.execute("select 1 from pg_namespace where nspname = ?", (self._schema,)):
            self.execute(f"create schema {_quoted(self._schema)}")
        for statement in (*TABLES, *GUARDS):
            self.execute(statement)
        self.execute("insert into store_version values (?)", (VERSION,))

    def _version(self) -> int | None:
        ((is_there,),) = self.execute("select to_regclass('store_version') is not null")
        found = self.execute("select version from store_version") if is_there else []
        return int(found[0][0]) if found else None

    def _set(self, name: str, value: str, *, is_local: bool) -> None:
        self.execute("select set_config(?, ?, ?)", (name, value, is_local))

    @contextmanager
    def _between(self, begin: str) -> Iterator[None]:
        self.execute(begin)
        try:
            yield
        except BaseException:
            # What ended it is told, not that a lost connection takes no rollback either.
            with contextlib.suppress(*_DRIVER_ERRORS):
                self.execute("rollback")
            raise
        self.execute("commit")


@contextmanager
def _connected(where: ReviewDatabase) -> Iterator[Any]:
    dsn = _bounded(where.connection.read())
    try:
        connection = dbapi.connect(dsn, autocommit=True)
    except (*_DRIVER_ERRORS, OSError) as error:
        said = str(error)
    else:
        with contextlib.closing(connection), connection.cursor() as cursor:
            yield cursor
        return
    # Raised outside the handler: the driver's words may hold parts of the connection string.
    why = next(why for words, why in _NO_CONNECTION if re.search(words, said))
    raise ChartAuditError(
        f"The database of the chart audit cannot be opened: {why}. See that it is up, and the "
        f"connection string in {where.connection.held_in}."
    )


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    """Say which SQLSTATE it was, and nothing of the server's words."""
    try:
        yield
        return
    except _DRIVER_ERRORS as error:
        state = getattr(error, "sqlstate", None)
    why = _REFUSALS.get(state or "08006", f"the server refused it (SQLSTATE {state}): see its log")
    raise ChartAuditError(f"{what}: {why}.") from None


def _require_no_files(settings: Settings) -> None:
    left = files(settings)
    if left:
        # Two stores of one hospital: each count would lack the other's reviews.
        raise ChartAuditError(
            f"{settings.chart_audit} still holds reviews in files ({left[0]}.sqlite), and the "
            "settings name PostgreSQL: run `scutari chart-audit move`, or put the files elsewhere."
        )


def _bounded(dsn: str) -> str:
    """Return the connection string with an end to waiting, where it names none itself."""
    is_address = dsn.startswith(("postgresql://", "postgres://"))
    for name, value in _TIMES.items():
        if name not in dsn:
            between = ("&" if "?" in dsn else "?") if is_address else " "
            dsn = f"{dsn}{between}{name}={value}"
    return dsn


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
