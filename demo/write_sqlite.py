"""Writes operational tables into SQLite files, each built beside its place and then renamed."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from demo.columns import ZONE_COLUMN
from demo.draw import Ints
from demo.schema import TABLES, Table, sqlite_ddl
from demo.zones import DAY, offsets_in

Chunks = Iterable[pa.Table]
Texts = list[Any]


def write_database(
    path: Path,
    source: str,
    tables: Iterable[tuple[str, Chunks]],
    zones: tuple[str, ...],
    progress: Callable[[str], None],
    *,
    statements: Iterable[str] = (),
) -> dict[str, int]:
    """Write one operational database; whoever reads the old file meanwhile keeps it.

    Args:
        path: where the file goes.
        source: ``ehr`` or ``billing``.
        tables: each table's name and its rows, in chunks with a ``_zone`` column.
        zones: what ``_zone`` points at.
        progress: is told about every table written.
        statements: last changes inside the transaction.

    Returns:
        Rows per table.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(path.name + ".building")
    building.unlink(missing_ok=True)
    counts: dict[str, int] = {}
    connection = sqlite3.connect(building, isolation_level=None)
    try:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        for name, rows in tables:
            counts[name] = _write_table(connection, TABLES[source][name], rows, zones)
            progress(f"{source}.{name}: {counts[name]:,} rows")
        for statement in statements:
            connection.execute(statement)
        connection.execute("COMMIT")
    finally:
        connection.close()
    with building.open("rb") as handle:
        os.fsync(handle.fileno())
    building.replace(path)
    return counts


def _write_table(
    connection: sqlite3.Connection, table: Table, rows: Chunks, zones: tuple[str, ...]
) -> int:
    connection.execute(sqlite_ddl(table))
    names = [column.name for column in table.columns]
    marks = ", ".join("?" * len(names))
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})"
    count = 0
    for chunk in rows:
        connection.executemany(statement, zip(*_texts(chunk, names, zones), strict=True))
        count += chunk.num_rows
    return count


def _texts(chunk: pa.Table, names: list[str], zones: tuple[str, ...]) -> Iterator[Texts]:
    zone = np.asarray(chunk[ZONE_COLUMN].combine_chunks())
    clock = _Clock(zones, zone)
    for name in names:
        column = chunk[name].combine_chunks()
        yield clock.texts(column) if pat.is_timestamp(column.type) else _plain(column)


def _plain(column: pa.Array) -> Texts:
    if pat.is_dictionary(column.type):
        words = np.array([*column.dictionary.to_pylist(), None], dtype=object)
        places = column.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False)
        return list(words[places])
    if pat.is_boolean(column.type):
        column = column.cast(pa.int32())
    if pat.is_decimal(column.type) or pat.is_date(column.type):
        column = column.cast(pa.string())
    if pat.is_integer(column.type) and column.null_count == 0:
        values: Texts = column.to_numpy().tolist()
        return values
    texts: Texts = column.to_pylist()
    return texts


class _Clock:
    """Writes instants as a hospital's clock shows them: ``2024-06-01T08:00:00-04:00``."""

    def __init__(self, zones: tuple[str, ...], zone: Ints) -> None:
        self.zones, self.zone = zones, zone

    def texts(self, column: pa.Array) -> Texts:
        missing = np.asarray(column.is_null())
        seconds = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        offset = offsets_in(self.zones, self.zone, seconds)
        local = seconds + offset
        day, second = np.divmod(local, DAY)
        first = int(day.min()) if len(day) else 0
        dates = np.array(
            [
                str(d)
                for d in np.arange(first, int(day.max(initial=first)) + 1).astype("datetime64[D]")
            ],
            dtype=object,
        )
        offsets, which = np.unique(offset, return_inverse=True)
        suffixes = np.array([_offset_text(int(o)) for o in offsets], dtype=object)
        result = dates[day - first] + _times()[second] + suffixes[which]
        result[missing] = None
        texts: Texts = result.tolist()
        return texts


def _offset_text(offset: int) -> str:
    sign = "-" if offset < 0 else "+"
    hours, minutes = divmod(abs(offset) // 60, 60)
    return f"{sign}{hours:02d}:{minutes:02d}"


_TIMES: list[np.ndarray] = []


def _times() -> np.ndarray:
    """Return every second of the day as text; built once."""
    if not _TIMES:
        _TIMES.append(
            np.array(
                [
                    f"T{hour:02d}:{minute:02d}:{second:02d}"
                    for hour in range(24)
                    for minute in range(60)
                    for second in range(60)
                ],
                dtype=object,
            )
        )
    return _TIMES[0]
