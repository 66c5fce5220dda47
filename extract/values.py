"""From a column as a database gives it to the column's type in the lake, value by value.

A value is read exactly or not at all: a decimal is never rounded, an instant without an offset
never guessed. What cannot be read leaves a null behind and is named in the column's faults.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from extract.sources.base import EXACT, exact_number

MISTYPED = "mistyped"
INEXACT = "inexact"
OUT_OF_RANGE = "out_of_range"
NO_UTC_OFFSET = "no_utc_offset"
NONEXISTENT_TIME = "nonexistent_local_time"
AMBIGUOUS_TIME = "ambiguous_local_time"

EARLIEST = date(1850, 1, 1)
LATEST = date(2300, 1, 1)

_UTC = pa.timestamp("us", tz="UTC")
_LOCAL = pa.timestamp("us")
# Longer than the longest decimal that fits (38 digits, sign and point), or with an exponent.
_UNSAFE_DECIMAL = r"(?s)[eE]|.{41}"
_LOCAL_INSTANT = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?$"

Mask = npt.NDArray[np.bool_]
# Which rows do not fit, by reason.
Faults = dict[str, Mask]


def read_values(array: pa.Array, kind: str, zone: str | None, faults: Faults) -> pa.Array:
    """Return a column in the type of its ``source_type``; add to ``faults`` where it does not fit.

    Args:
        array: values of a wire type (see ``RawBatch``).
        kind: the contract's ``source_type``.
        zone: the time zone of local clocks, where the contract names one.
        faults: the column's faults; is added to.
    """
    if kind == "timestamp":
        return _instants(array, zone, faults)
    if kind == "date":
        return _dates(array, faults)
    if kind == "boolean":
        return _booleans(array, faults)
    if kind.startswith("decimal"):
        return _decimals(array, pa.decimal128(*_precision(kind)), faults)
    if kind in ("int", "bigint"):
        return _integers(array, pa.int32() if kind == "int" else pa.int64(), faults)
    return array


def add_fault(faults: Faults, reason: str, mask: Mask) -> None:
    """Note that the rows of a mask do not fit, unless it is empty."""
    if mask.any():
        faults[reason] = mask | faults[reason] if reason in faults else mask.copy()


def _instants(array: pa.Array, zone: str | None, faults: Faults) -> pa.Array:
    if pa.types.is_string(array.type):
        array = _texts_to_instants(array, zone, faults)
    elif array.type == _LOCAL:
        array = _in_zone(array, zone, faults) if zone else _emptied(array, faults, NO_UTC_OFFSET)
    array = array.cast(_UTC)
    low, high = (
        int(datetime(d.year, d.month, d.day, tzinfo=UTC).timestamp()) * 1_000_000
        for d in (EARLIEST, LATEST)
    )
    return _within(array, array.view(pa.int64()), low, high, faults)


def _texts_to_instants(array: pa.Array, zone: str | None, faults: Faults) -> pa.Array:
    read, failed = _each_that_can(array, lambda part: pc.cast(part, _UTC), _UTC)
    if failed is None:
        return read
    without = pc.fill_null(pc.match_substring_regex(array, _LOCAL_INSTANT), False)
    local = without.to_numpy(zero_copy_only=False) & failed
    if not local.any():
        add_fault(faults, MISTYPED, failed)
        return read
    texts = pc.if_else(pa.array(local), array, pa.scalar(None, pa.string()))
    clocks, unreadable = _each_that_can(texts, lambda part: pc.cast(part, _LOCAL), _LOCAL)
    if unreadable is not None:
        local &= ~unreadable
    add_fault(faults, MISTYPED, failed & ~local)
    if zone is None:
        add_fault(faults, NO_UTC_OFFSET, local)
        return read
    return pc.coalesce(read, _in_zone(clocks, zone, faults))


def _in_zone(clocks: pa.Array, zone: str, faults: Faults) -> pa.Array:
    """Read a local clock; an hour that the clocks skip or pass twice fits no single instant."""
    early = pc.assume_timezone(clocks, zone, ambiguous="earliest", nonexistent="earliest")
    late = pc.assume_timezone(clocks, zone, ambiguous="latest", nonexistent="earliest")
    later = pc.assume_timezone(clocks, zone, ambiguous="earliest", nonexistent="latest")
    twice = pc.fill_null(pc.not_equal(early, late), False)
    never = pc.fill_null(pc.not_equal(early, later), False)
    add_fault(faults, AMBIGUOUS_TIME, twice.to_numpy(zero_copy_only=False))
    add_fault(faults, NONEXISTENT_TIME, never.to_numpy(zero_copy_only=False))
    bad = pc.or_(twice, never)
    return pc.if_else(bad, pa.scalar(None, _UTC), early.cast(_UTC))


def _dates(array: pa.Array, faults: Faults) -> pa.Array:
    kind = pa.date32()
    if pa.types.is_string(array.type):
        array, failed = _each_that_can(array, lambda part: pc.cast(part, kind), kind)
        if failed is not None:
            add_fault(faults, MISTYPED, failed)
    epoch = date(1970, 1, 1)
    low, high = ((bound - epoch).days for bound in (EARLIEST, LATEST))
    return _within(array, array.view(pa.int32()), low, high, faults)


def _within(array: pa.Array, numbers: pa.Array, low: int, high: int, faults: Faults) -> pa.Array:
    extremes = pc.min_max(numbers)
    least, greatest = extremes["min"].as_py(), extremes["max"].as_py()
    if least is None or (least >= low and greatest <= high):
        return array
    bad = pc.fill_null(pc.or_(pc.less(numbers, low), pc.greater(numbers, high)), False)
    add_fault(faults, OUT_OF_RANGE, bad.to_numpy(zero_copy_only=False))
    return pc.if_else(bad, pa.scalar(None, array.type), array)


def _booleans(array: pa.Array, faults: Faults) -> pa.Array:
    if pa.types.is_boolean(array.type):
        return array
    bad = pc.fill_null(pc.invert(pc.or_(pc.equal(array, 0), pc.equal(array, 1))), False)
    add_fault(faults, MISTYPED, bad.to_numpy(zero_copy_only=False))
    return pc.if_else(bad, pa.scalar(None, pa.bool_()), pc.equal(array, 1))


def _integers(array: pa.Array, kind: pa.DataType, faults: Faults) -> pa.Array:
    read, failed = _each_that_can(array, lambda part: pc.cast(part, kind), kind)
    if failed is not None:
        add_fault(faults, OUT_OF_RANGE, failed)
    return read


def _decimals(array: pa.Array, kind: pa.Decimal128Type, faults: Faults) -> pa.Array:
    plain = _written_out(array, kind) if pa.types.is_string(array.type) else array
    read, failed = _each_that_can(plain, lambda part: pc.cast(part, kind), kind)
    if failed is not None:
        numbers = np.zeros(len(array), dtype=np.bool_)
        for row in np.flatnonzero(failed).tolist():
            numbers[row] = exact_number(str(array[row].as_py())) is not None
        add_fault(faults, INEXACT, failed & numbers)
        add_fault(faults, MISTYPED, failed & ~numbers)
    return read


def _written_out(array: pa.Array, kind: pa.Decimal128Type) -> pa.Array:
    """Write out the decimals that Arrow must not read, and put no number for what does not fit.

    Of a great negative exponent Arrow makes 0.00, or the process ends.
    """
    unsafe = pc.fill_null(pc.match_substring_regex(array, _UNSAFE_DECIMAL), False)
    if not pc.any(unsafe).as_py():
        return array
    texts = array.to_pylist()
    for row in np.flatnonzero(unsafe.to_numpy(zero_copy_only=False)).tolist():
        number = exact_number(texts[row])
        scaled = None if number is None else number.scaleb(kind.scale, EXACT)
        texts[row] = "no number that fits"
        if scaled is None or scaled.copy_abs() >= 10**kind.precision:
            continue
        if scaled == scaled.to_integral_value(context=EXACT):
            texts[row] = f"{Decimal(int(scaled)).scaleb(-kind.scale, EXACT):f}"
    return pa.array(texts, pa.string())


def _each_that_can(
    array: pa.Array, read: Callable[[pa.Array], pa.Array], kind: pa.DataType
) -> tuple[pa.Array, Mask | None]:
    """Convert what can be; return nulls and a mask for the rest, found by halving."""
    try:
        return read(array), None
    except pa.ArrowInvalid:
        pass
    failed = np.zeros(len(array), dtype=np.bool_)
    parts: list[pa.Array] = []
    todo = [(0, len(array))]
    while todo:
        start, length = todo.pop()
        try:
            parts.append(read(array.slice(start, length)))
        except pa.ArrowInvalid:
            if length == 1:
                failed[start] = True
                parts.append(pa.nulls(1, kind))
            else:
                half = length // 2
                todo += [(start + half, length - half), (start, half)]
    return pa.concat_arrays(parts), failed


def _emptied(array: pa.Array, faults: Faults, reason: str) -> pa.Array:
    add_fault(faults, reason, array.is_valid().to_numpy(zero_copy_only=False))
    return pa.nulls(len(array), array.type)


def _precision(kind: str) -> tuple[int, int]:
    precision, scale = kind.removeprefix("decimal(").removesuffix(")").split(",")
    return int(precision), int(scale)
