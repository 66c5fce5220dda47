"""Small builders of Arrow columns from numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from demo.draw import Bools, Draw, Ints
from demo.schema import INSTANT

NOTHING = -1
CHUNK_ROWS = 200_000
ZONE_COLUMN = "_zone"

_STAFF = ("jmorris", "akhan", "tlee", "s.oduya", "nightclerk", "interface", "pgarcia")
_NOTES = (
    "Husband Thomas Bailey called, 555-0187, wants a call back before 6 pm",
    "Pt. says she is the sister of councillor Reyes; do not discuss with press",
    "Wrong chart? same name as MRN 0044871",
    "SSN on file 078-05-1120 (old card)",
    "Daughter anna.whitfield@example.org holds the keys; neighbour feeds the dog",
    "Abusive to staff on last two visits, see incident 2231",
)


def with_copies(draw: Draw, table: str, numbers: Ints, share: float) -> Ints:
    """Return positions of all rows, then of those that were entered twice and deleted again.

    Args:
        draw: the seed's draws.
        table: the table.
        numbers: what identifies each row in every draw.
        share: share of rows that were entered twice.
    """
    rows = np.arange(len(numbers))
    return np.concatenate([rows, rows[draw.chance(f"{table}/entered_twice", numbers, share)]])


def chunks(count: int, size: int = CHUNK_ROWS) -> Iterator[slice]:
    """Yield slices that cover ``count`` rows."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def codes(vocabulary: Sequence[str | None], positions: Ints) -> pa.DictionaryArray:
    """Return strings by position; a negative position or one of a None entry is null."""
    is_null = np.array([entry is None for entry in vocabulary] + [True])
    missing = is_null[np.where(positions < 0, len(vocabulary), positions)]
    indices = pa.array(np.where(missing, 0, positions).astype(np.int32), mask=missing)
    words = pa.array([entry or "" for entry in vocabulary], pa.string())
    return pa.DictionaryArray.from_arrays(indices, words)


def instants(seconds: Ints) -> pa.Array:
    """Return UTC instants; NOTHING is null."""
    return pa.array(seconds, pa.int64(), mask=seconds == NOTHING).cast(INSTANT)


def days(numbers: Ints, missing: Bools | None = None) -> pa.Array:
    """Return dates from days since 1970-01-01."""
    return pa.array(numbers.astype(np.int32), pa.int32(), mask=missing).cast(pa.date32())


def keys(numbers: Ints, missing: Bools | None = None) -> pa.Array:
    """Return 64-bit keys."""
    return pa.array(numbers, pa.int64(), mask=missing)


def digits(numbers: Ints, width: int, prefix: pa.Array | str = "") -> pa.Array:
    """Return numbers as text with leading zeros behind a prefix."""
    text = pc.utf8_lpad(pa.array(numbers, pa.int64()).cast(pa.string()), width, "0")
    if isinstance(prefix, str):
        prefix = pa.scalar(prefix)
    elif isinstance(prefix, pa.DictionaryArray):
        prefix = prefix.cast(pa.string())
    return pc.binary_join_element_wise(prefix, text, "")


def decimals(units: Ints, kind: pa.DataType, missing: Bools | None = None) -> pa.Array:
    """Return exact decimals from whole units of the last place (cents for money)."""
    words = np.stack([units, units >> np.int64(63)], axis=1).astype("<i8")
    validity = None
    if missing is not None:
        validity = pa.array(~missing).buffers()[1]
    buffers = [validity, pa.py_buffer(words.tobytes())]
    return pa.Array.from_buffers(kind, len(units), buffers)


def staff_columns(draw: Draw, table: str, rows: Ints) -> dict[str, pa.Array]:
    """Return the two columns that no contract declares: who typed, and what was remarked."""
    has_note = draw.chance(f"{table}/has_note", rows, 0.03)
    note = np.where(has_note, draw.below(f"{table}/note", rows, len(_NOTES)), NOTHING)
    clerk = draw.below(f"{table}/clerk", rows, len(_STAFF))
    return {"internal_note": codes(_NOTES, note), "entered_by": codes(_STAFF, clerk)}


def stamp_columns(
    created: Ints, updated: Ints, snapshot_at: int, deleted: Ints | None = None
) -> dict[str, pa.Array]:
    """Return created_at, updated_at and deleted_at, none of them after the snapshot."""
    last = snapshot_at - 60
    removed = np.full(len(created), NOTHING) if deleted is None else deleted
    removed = np.minimum(removed, last)
    first = np.minimum(created, last)
    return {
        "created_at": instants(first),
        "updated_at": instants(np.maximum(np.minimum(np.maximum(updated, removed), last), first)),
        "deleted_at": instants(removed),
    }
