"""SQLite databases: one file, read in one transaction.

SQLite holds any value in any column, so a column's declared type promises nothing: every value is
looked at. Rows of one period are found once, in a temporary table of row ids, so that a period is
read without going through the whole table again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from extract.contracts import ColumnContract, TableContract
from extract.sources.base import (
    BATCH_ROWS,
    EXACT,
    NO_PERIOD,
    WHOLE_TABLE,
    Misfit,
    PartitionProfile,
    RawBatch,
    TableProfile,
    exact_number,
)
from governance.errors import SourceError
from governance.settings import SourceSettings

_BUSY_SECONDS = 30.0
# Text that SQLite's date functions read as a date; 'now' and bare numbers mean one to them too.
_DATE_GLOB = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"
_WIRE: dict[str, pa.DataType] = {"int": pa.int64(), "bigint": pa.int64(), "boolean": pa.int64()}
# Storage affinities that cannot hold the declared type (sqlite.org/datatype3.html, section 3.1).
_IMPOSSIBLE = {
    "integer": ("INT",),
    "text": ("CHAR", "CLOB", "TEXT"),
    "blob": ("BLOB",),
    "real": ("REAL", "FLOA", "DOUB"),
}


class SqliteSource:
    """One SQLite file, held at one state from ``__enter__`` to ``__exit__``."""

    parallelism = 1

    def __init__(self, settings: SourceSettings) -> None:
        self.name = settings.name
        self._path = settings.path
        self._connection: sqlite3.Connection | None = None
        self._taken_at = datetime.now(UTC)
        self._paged: set[str] = set()

    def __enter__(self) -> Self:
        """Open the file read-only and begin the transaction that everything is read in.

        Raises:
            SourceError: the file is not there, no SQLite database, or locked.
        """
        if self._path is None or not self._path.is_file():
            raise SourceError(
                f"Source {self.name}: there is no database file {self._path}; "
                f"set path under [sources.{self.name}] in scutari.toml."
            )
        with self._explained("opened"):
            connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=ro",
                uri=True,
                isolation_level=None,
                timeout=_BUSY_SECONDS,
                # One thread at a time (`parallelism`), though not always the same one.
                check_same_thread=False,
            )
            # Bytes, so that text which is no UTF-8 arrives and can be set aside.
            connection.text_factory = bytes
            connection.create_aggregate("exact_sum", 1, _ExactSum)  # type: ignore[arg-type]
            connection.create_function("utf8", 1, _utf8, deterministic=True)
            connection.execute("pragma temp_store = file")
            connection.execute("begin")
            # The transaction holds a state of the file only from its first read on.
            connection.execute("select count(*) from main.sqlite_master").fetchone()
        self._connection = connection
        self._taken_at = datetime.now(UTC)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._paged.clear()

    @property
    def taken_at(self) -> datetime:
        """When the transaction began to read, UTC."""
        return self._taken_at

    def columns(self, table: str) -> dict[str, str]:
        """Return the table's columns and their declared types; empty if it is missing."""
        rows = self._rows("select name, type from pragma_table_info(?)", [table])
        return {name.decode(): kind.decode() for name, kind in rows}

    def check_types(self, table: TableContract, found: Mapping[str, str]) -> list[str]:
        """Return declared columns whose declared type cannot hold the contract's."""
        return [c.name for c in table.read_columns if not _can_hold(found[c.name], c.source_type)]

    def profile(self, table: TableContract) -> TableProfile:
        """Count, sum and range every period of a table, in the database."""
        self._page(table)
        if table.partition_by is None:
            periods = [WHOLE_TABLE]
        else:
            query = f"select distinct period from temp.{_quoted(_pages(table))} order by period"
            periods = [row[0].decode() for row in self._rows(query)]
        profiles = [self._profile_period(table, period) for period in periods]
        return TableProfile(tuple(profiles), self._duplicate_keys(table))

    def read(self, table: TableContract, period: str) -> Iterator[RawBatch]:
        """Stream the declared columns of one period's rows."""
        columns = table.read_columns
        names = ", ".join(f"t.{_quoted(column.name)}" for column in columns)
        clause, parameters = self._from(table, period)
        with self._explained("read", table.name):
            cursor = self._open.execute(f"select {names} {clause}", parameters)
            while rows := cursor.fetchmany(BATCH_ROWS):
                yield _batch(columns, rows)

    @property
    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise SourceError(f"Source {self.name} is not open.")
        return self._connection

    def _rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._explained("read"):
            return self._open.execute(query, parameters).fetchall()

    def _page(self, table: TableContract) -> None:
        """Write down once which rows belong to which period."""
        if table.partition_by is None or table.name in self._paged:
            return
        self._check_row_ids(table)
        pages = _quoted(_pages(table))
        column = _quoted(table.partition_by)
        period = (
            f"case when typeof({column}) = 'text' and {column} glob '{_DATE_GLOB}' "
            f"then coalesce(strftime('%Y-%m', {column}), '{NO_PERIOD}') else '{NO_PERIOD}' end"
        )
        with self._explained("read", table.name):
            self._open.execute(
                f"create temp table {pages} (period text, row integer, "
                "primary key (period, row)) without rowid"
            )
            self._open.execute(
                f"insert into temp.{pages} select {period}, rowid from main.{_quoted(table.name)} "
                "order by 1, 2"
            )
        self._paged.add(table.name)

    def _check_row_ids(self, table: TableContract) -> None:
        found = self._rows(
            "select type, wr from pragma_table_list where schema = 'main' and name = ?",
            [table.name],
        )
        if found and (found[0][0] == b"view" or found[0][1]):
            what = "a view" if found[0][0] == b"view" else "a table WITHOUT ROWID"
            raise SourceError(
                f"Source {self.name}: {table.name} is {what}, whose rows cannot be told apart by "
                f"month: remove partition_by from its contract at {table.where}."
            )

    def _from(self, table: TableContract, period: str) -> tuple[str, list[str]]:
        name = f"main.{_quoted(table.name)} as t"
        if table.partition_by is None:
            return f"from {name}", []
        self._page(table)
        pages = f"temp.{_quoted(_pages(table))} as p"
        return f"from {pages} cross join {name} on t.rowid = p.row where p.period = ?", [period]

    def _profile_period(self, table: TableContract, period: str) -> PartitionProfile:
        key = _fitting_key(table)
        nulls = [column.name for column in table.lake_columns]
        sums = [column.name for column in table.lake_columns if column.is_summed]
        wanted = ["count(*)", f"min({key})", f"max({key})", _cursor_state(table)]
        wanted += [f"count(t.{_quoted(name)})" for name in nulls]
        # As a blob, because a function is given text only where it is UTF-8.
        wanted += [
            f"exact_sum(case typeof(t.{c}) when 'text' then cast(t.{c} as blob) else t.{c} end)"
            for c in map(_quoted, sums)
        ]
        clause, parameters = self._from(table, period)
        row = self._rows(f"select {', '.join(wanted)} {clause}", parameters)[0]
        count, minimum, maximum, state = row[:4]
        present = row[4 : 4 + len(nulls)]
        totals = row[4 + len(nulls) :]
        return PartitionProfile(
            period=period,
            row_count=count,
            key_minimum=_key(minimum),
            key_maximum=_key(maximum),
            null_counts={name: count - n for name, n in zip(nulls, present, strict=True)},
            # Over no rows an aggregate of one's own is null.
            sums={
                n: Decimal((total or b"0").decode()) for n, total in zip(sums, totals, strict=True)
            },
            cursor_state=_text(state) if state is not None else "",
        )

    def _duplicate_keys(self, table: TableContract) -> int:
        key, name = _quoted(table.primary_key), f"main.{_quoted(table.name)}"
        unique = self._rows(
            "select count(*) from pragma_table_info(?) where pk > 0 having sum(name = ?) = 1",
            [table.name, table.primary_key],
        )
        if unique and unique[0][0] == 1:
            return 0
        query = (
            f"select count(*) from (select 1 from {name} where {key} is not null "
            f"group by {key} collate binary having count(*) > 1)"
        )
        return int(self._rows(query)[0][0])

    @contextmanager
    def _explained(self, verb: str, table: str | None = None) -> Iterator[None]:
        """Turn the driver's errors into a sentence without its text, which can hold a value."""
        try:
            yield
        except sqlite3.Error as error:
            what = f"table {table} of " if table else ""
            raise SourceError(
                f"Source {self.name}: {what}the SQLite file {self._path} could not be {verb} "
                f"({getattr(error, 'sqlite_errorname', type(error).__name__)}); check that it is "
                "a whole SQLite database, readable and not locked."
            ) from None


class _ExactSum:
    """SQLite's sum is a float for text; this one is exact, over what is a number."""

    def __init__(self) -> None:
        self.total = Decimal(0)

    def step(self, value: object) -> None:
        if value is None:
            return
        text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
        number = exact_number(text)
        if number is not None:
            self.total = EXACT.add(self.total, number)

    def finalize(self) -> str:
        return str(self.total)


def _utf8(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _fitting_key(table: TableContract) -> str:
    """The primary key where it is of the declared type; SQLite orders any text after any number."""
    key = f"t.{_quoted(table.primary_key)}"
    if table.key.source_type != "string":
        return f"case when typeof({key}) = 'integer' then {key} end"
    # What is read knows a text from a blob as little as from bytes that are no UTF-8.
    fits = f"typeof({key}) in ('text', 'blob')"
    return f"case when {fits} then utf8(cast({key} as blob)) end collate binary"


def _cursor_state(table: TableContract) -> str:
    if table.cursor is None:
        return "''"
    cursor = f"t.{_quoted(table.cursor)}"
    # Characters 21 to 26 of an ISO instant are its fraction of a second, where it has one.
    parts = [
        f"coalesce(min({cursor}), '')",
        f"coalesce(max({cursor}), '')",
        f"total(unixepoch({cursor}))",
        f"total(length({cursor}))",
        f"total(substr({cursor}, 21, 6))",
    ]
    return " || '|' || ".join(parts)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _pages(table: TableContract) -> str:
    return f"periods of {table.name}"


def _can_hold(declared: str, source_type: str) -> bool:
    upper = declared.upper()
    affinity = next(
        (name for name, parts in _IMPOSSIBLE.items() if any(part in upper for part in parts)), None
    )
    if affinity == "blob":
        return False
    if source_type in ("int", "bigint", "boolean"):
        return affinity not in ("text", "real")
    return affinity not in ("integer", "real")


def _key(value: int | bytes | None) -> int | str | None:
    return value.decode() if isinstance(value, bytes) else value


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _batch(columns: Sequence[ColumnContract], rows: list[tuple[Any, ...]]) -> RawBatch:
    arrays: list[pa.Array] = []
    misfits: list[Misfit] = []
    for column, values in zip(columns, zip(*rows, strict=True), strict=True):
        wire = _WIRE.get(column.source_type, pa.string())
        array = _fast(values, wire)
        if array is None:
            array = _one_by_one(column.name, values, wire, misfits)
        arrays.append(array)
    names = [column.name for column in columns]
    return RawBatch(pa.RecordBatch.from_arrays(arrays, names), tuple(misfits))


def _fast(values: Sequence[Any], wire: pa.DataType) -> pa.Array | None:
    """Convert a column whose values are all of its type; None where one is not."""
    try:
        if wire == pa.string():
            return pa.array(values, wire)
        # Given int64, Arrow would cut 1.5 down to 1: let it say what it found instead.
        array = pa.array(values)
    except pa.ArrowException:
        return None
    if pa.types.is_null(array.type):
        return array.cast(wire)
    return array if array.type == wire else None


def _one_by_one(
    name: str, values: Sequence[Any], wire: pa.DataType, misfits: list[Misfit]
) -> pa.Array:
    kept: list[Any] = []
    for row, value in enumerate(values):
        fits, read = _fitting(value, wire)
        kept.append(read)
        if not fits:
            raw = _text(value) if isinstance(value, bytes) else str(value)
            misfits.append(Misfit(row, name, raw))
    return pa.array(kept, wire)


def _fitting(value: Any, wire: pa.DataType) -> tuple[bool, Any]:
    if value is None:
        return True, None
    if wire == pa.int64():
        return (True, value) if isinstance(value, int) else (False, None)
    if not isinstance(value, bytes):
        return False, None
    try:
        return True, value.decode("utf-8")
    except UnicodeDecodeError:
        return False, None
