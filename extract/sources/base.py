"""What a kind of operational database must offer to be snapshotted.

A source is a context manager that holds one database snapshot from ``__enter__`` to ``__exit__``:
whatever is counted and read in between is one state of the database. It reports values as they
are; ``extract.convert`` decides which fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from types import TracebackType
from typing import Protocol, Self

import pyarrow as pa

from extract.contracts import TableContract

BATCH_ROWS = 50_000
WHOLE_TABLE = "all"
NO_PERIOD = "none"
# Enough for every number a text can hold; sums are exact.
EXACT = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])

# Zeros before an exponent mean nothing, and digits of other scripts are no digits to a database.
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?0*[0-9]{1,3})?")


def exact_number(text: str) -> Decimal | None:
    """Return the exact value of a decimal written as text; None where it is no finite number."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class Misfit:
    """A value that has no place in its column's wire type; the batch holds null there."""

    row: int
    column: str
    raw: str
    reason: str = "mistyped"


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Some rows as the database holds them.

    ``rows`` has one column per ``TableContract.read_columns``, in that order, of a wire type:

    | source_type | wire types                                                                |
    |---|---|
    | string      | string                                                                       |
    | int, bigint | int16, int32, int64                                                          |
    | boolean     | bool; or an integer, where only 0 and 1 fit                                  |
    | decimal     | string of an exact decimal; decimal128; an integer                           |
    | timestamp   | string in ISO 8601; timestamp[us, UTC]; timestamp[us] for local clocks       |
    | date        | string in ISO 8601; date32                                                   |

    A value that its wire type cannot hold (text in an integer column) is null in ``rows`` and
    stands in ``misfits``. An infinite timestamp must become a misfit of reason ``out_of_range``
    or a value outside 1850 to 2300: it must never become a plausible instant.
    """

    rows: pa.RecordBatch
    misfits: tuple[Misfit, ...] = ()


@dataclass(frozen=True)
class PartitionProfile:
    """What the database itself says about the rows of one period.

    Attributes:
        period: 'YYYY-MM' of the partition column in UTC, ``none`` where it is null or no date,
            ``all`` for a table without partitions.
        row_count: rows.
        key_minimum: least primary key of the declared type; text in byte order (PostgreSQL:
            ``collate "C"``), never in the database's collation.
        key_maximum: the greatest.
        null_counts: nulls per column of ``TableContract.lake_columns``.
        sums: exact sum per column with ``is_summed``, of the values that ``exact_number`` knows.
        cursor_state: text that changes when any row's cursor does, such as its least and greatest
            value and a sum over all; only ever compared, and only as part of a keyed digest.
    """

    period: str
    row_count: int
    key_minimum: int | str | None
    key_maximum: int | str | None
    null_counts: Mapping[str, int] = field(default_factory=dict)
    sums: Mapping[str, Decimal | int] = field(default_factory=dict)
    cursor_state: str = ""


@dataclass(frozen=True)
class TableProfile:
    """The periods of one table, and how many primary keys are there more than once."""

    partitions: tuple[PartitionProfile, ...]
    duplicate_keys: int


class Source(Protocol):
    """One operational database, held at one state.

    ``parallelism`` is how many calls of ``read`` may run at the same time in threads.
    """

    name: str
    parallelism: int

    def __enter__(self) -> Self:
        """Connect and open the database snapshot.

        Raises:
            SourceError: the database is out of reach; without a value or a secret in the message.
        """
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the snapshot and every connection."""
        ...

    @property
    def taken_at(self) -> datetime:
        """When the database snapshot was opened, UTC."""
        ...

    def columns(self, table: str) -> dict[str, str]:
        """Return the table's columns and their declared database types; empty if it is missing."""
        ...

    def check_types(self, table: TableContract, found: Mapping[str, str]) -> list[str]:
        """Return the names of declared columns whose database type cannot be the declared one."""
        ...

    def profile(self, table: TableContract) -> TableProfile:
        """Count, sum and range every period of a table, in the database."""
        ...

    def read(self, table: TableContract, period: str) -> Iterator[RawBatch]:
        """Stream the declared columns of one period's rows, about ``BATCH_ROWS`` at a time."""
        ...
