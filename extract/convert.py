"""From what a database holds to what the lake holds, without changing a value on the way.

A value that does not fit its contract goes to quarantine with a reason. Then either its place in
the row stays empty (codes, columns of the vault alone, and everything but the keys of a
registration, since without its registration a visit would lose its person), or the whole row goes
to quarantine. A decimal is never rounded, an instant without an offset never guessed.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from extract.contracts import ColumnContract, TableContract
from extract.identity.tokens import TOKEN_PATTERN, Tokeniser
from extract.sources.base import EXACT, RawBatch, exact_number
from extract.values import Faults, Mask, add_fault, read_values

# Changing a rule here, in values.py or in partitions.py changes what a file holds: raise it, and
# every partition is written anew.
RULES_VERSION = 4

UNKNOWN_CODE = "unknown_code"
NOT_A_TOKEN = "not_a_token"
NULL_KEY = "null_key"

QUARANTINE_SCHEMA = pa.schema(
    [
        ("column_name", pa.string()),
        ("reason_code", pa.string()),
        ("is_row_dropped", pa.bool_()),
        ("source_key", pa.string()),
        ("raw_value", pa.string()),
        ("raw_row", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Converted:
    """One batch, sorted into its zones.

    Attributes:
        lake: rows of ``TableContract.lake_schema``.
        vault: ``source_key``, ``token`` and the vault's columns of the same rows; None for a table
            without identifiers.
        quarantine: rows of ``QUARANTINE_SCHEMA``; None where all fitted.
    """

    lake: pa.RecordBatch
    vault: pa.RecordBatch | None
    quarantine: pa.RecordBatch | None


@dataclass
class Tally:
    """What became of the rows of one partition, for reconciliation."""

    rows: int = 0
    dropped: int = 0
    key_minimum: int | str | None = None
    key_maximum: int | str | None = None
    sums: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    emptied: Counter[str] = field(default_factory=Counter)
    dropped_nulls: Counter[str] = field(default_factory=Counter)
    erased: int = 0
    erased_nulls: Counter[str] = field(default_factory=Counter)
    expired: int = 0
    expired_nulls: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[tuple[str, str, bool]] = field(default_factory=Counter)


class Converter:
    """Converts the batches of one table.

    Args:
        table: its contract.
        codes: the codes of each code system the contract names.
        tokeniser: makes the tokens.
    """

    def __init__(
        self, table: TableContract, codes: Mapping[str, pa.Array], tokeniser: Tokeniser
    ) -> None:
        self._table = table
        self._codes = codes
        self._tokeniser = tokeniser

    def convert(self, raw: RawBatch, tally: Tally) -> Converted:
        """Sort one batch into its zones and count it."""
        rows = raw.rows.num_rows
        faults: dict[str, Faults] = {column.name: {} for column in self._table.read_columns}
        for misfit in raw.misfits:
            mask = faults[misfit.column].setdefault(misfit.reason, np.zeros(rows, dtype=np.bool_))
            mask[misfit.row] = True
        values = {
            column.name: self._column(column, array, faults[column.name])
            for column, array in zip(self._table.read_columns, raw.rows.columns, strict=True)
        }
        dropped = np.zeros(rows, dtype=np.bool_)
        for column in self._table.read_columns:
            if self._drops_row(column):
                for mask in faults[column.name].values():
                    dropped |= mask
        quarantine = self._quarantine(raw, faults, dropped, tally)
        self._count(raw, values, faults, dropped, tally)
        kept = None if not dropped.any() else pa.array(~dropped)
        return Converted(self._lake(raw, values, kept), self._vault(raw, values, kept), quarantine)

    def _drops_row(self, column: ColumnContract) -> bool:
        table = self._table
        if column.is_key or column.name in (table.primary_key, table.cursor, table.partition_by):
            return True
        if table.is_registration:
            return False
        held_to_codes = column.code_system is not None or column.code_pattern is not None
        return column.is_required or not (held_to_codes or not column.goes_to_lake)

    def _column(self, column: ColumnContract, array: pa.Array, faults: Faults) -> pa.Array:
        """Return a column in its lake type (a key: still raw); add where it does not fit."""
        array = read_values(array, column.source_type, column.time_zone, faults)
        if column.name == self._table.primary_key:
            explained = [*faults.values()]
            absent = array.is_null().to_numpy(zero_copy_only=False)
            add_fault(faults, NULL_KEY, absent & ~np.any([absent & False, *explained], axis=0))
        if column.is_token:
            return _tokens_only(array, faults)
        if column.is_key:
            return array
        if column.data_type == "string" and not pa.types.is_string(array.type):
            array = array.cast(pa.string())
        if column.code_system is not None or column.code_pattern is not None:
            array = self._codes_only(column, array, faults)
        return array

    def _codes_only(self, column: ColumnContract, array: pa.Array, faults: Faults) -> pa.Array:
        encoded = array.dictionary_encode()
        known = encoded.dictionary
        if column.code_pattern is not None:
            fits = pc.match_substring_regex(known, f"^(?:{column.code_pattern})$")
        else:
            if column.code_system == "icd10cm":
                known = pc.ascii_upper(pc.replace_substring(known, ".", ""))
            fits = pc.is_in(known, value_set=self._codes[column.code_system or ""])
        if pc.all(fits).as_py() in (True, None):
            return array
        bad = pc.fill_null(pc.invert(pc.take(fits, encoded.indices)), False)
        add_fault(faults, UNKNOWN_CODE, bad.to_numpy(zero_copy_only=False))
        return pc.if_else(bad, pa.scalar(None, array.type), array)

    def _lake(
        self, raw: RawBatch, values: Mapping[str, pa.Array], kept: pa.Array | None
    ) -> pa.RecordBatch:
        arrays = []
        for column in self._table.lake_columns:
            array = _filtered(values[column.name], kept)
            if column.is_key and not column.is_token:
                array = self._tokeniser.tokenise(array, column.key_domain or "")
            arrays.append(array)
        return pa.RecordBatch.from_arrays(arrays, schema=self._table.lake_schema)

    def _vault(
        self, raw: RawBatch, values: Mapping[str, pa.Array], kept: pa.Array | None
    ) -> pa.RecordBatch | None:
        if not self._table.vault_columns:
            return None
        key = self._table.key
        source_key = _filtered(values[key.name], kept)
        token = (
            self._tokeniser.tokenise(source_key, key.key_domain or "") if key.is_key else source_key
        )
        arrays = [source_key.cast(pa.string()), token.cast(pa.string())]
        arrays += [_filtered(values[c.name], kept) for c in self._table.vault_columns]
        names = ["source_key", "token", *(c.name for c in self._table.vault_columns)]
        return pa.RecordBatch.from_arrays(arrays, names)

    def _quarantine(
        self, raw: RawBatch, faults: Mapping[str, Faults], dropped: Mask, tally: Tally
    ) -> pa.RecordBatch | None:
        masks = [
            (column, reason, mask)
            for column in self._table.read_columns
            for reason, mask in faults[column.name].items()
        ]
        if not masks:
            return None
        texts = _RawTexts(raw, np.logical_or.reduce([mask for _, _, mask in masks]))
        whole_rows = texts.rows(dropped)
        parts: list[pa.RecordBatch] = []
        for column, reason, mask in masks:
            drops = self._drops_row(column)
            places = np.flatnonzero(mask)
            if not len(places):
                continue
            is_dropped = dropped[places] & drops
            for flag in (True, False):
                count = int((is_dropped == flag).sum())
                if count:
                    tally.quarantined[(column.name, reason, flag)] += count
            parts.append(
                pa.RecordBatch.from_arrays(
                    [
                        pa.repeat(column.name, len(places)),
                        pa.repeat(reason, len(places)),
                        pa.array(is_dropped),
                        texts.column(self._table.primary_key, places),
                        texts.column(column.name, places),
                        texts.chosen(whole_rows, places),
                    ],
                    schema=QUARANTINE_SCHEMA,
                )
            )
        return pa.concat_batches(parts) if parts else None

    def _count(
        self,
        raw: RawBatch,
        values: Mapping[str, pa.Array],
        faults: Mapping[str, Faults],
        dropped: Mask,
        tally: Tally,
    ) -> None:
        tally.dropped += int(dropped.sum())
        tally.rows += int((~dropped).sum())
        names = raw.rows.schema.names
        # As the database has it: a key that did not fit is part of the range there too.
        lowest, highest = _extremes(raw.rows.column(names.index(self._table.primary_key)))
        tally.key_minimum = _least(tally.key_minimum, lowest, min)
        tally.key_maximum = _least(tally.key_maximum, highest, max)
        texts = {(m.column, m.row): m.raw for m in raw.misfits}
        for column in self._table.lake_columns:
            name = column.name
            bad = np.zeros(len(dropped), dtype=np.bool_)
            for mask in faults[name].values():
                bad |= mask
            source = raw.rows.column(names.index(name))
            if dropped.any():
                absent = source.is_null().to_numpy(zero_copy_only=False).copy()
                for row in np.flatnonzero(absent & dropped).tolist():
                    absent[row] = (name, row) not in texts
                tally.dropped_nulls[name] += int((absent & dropped).sum())
            tally.emptied[name] += int((bad & ~dropped).sum())
            if column.is_summed:
                total = EXACT.add(tally.sums[name], _sum(values[name]))
                unfit = _RawTexts(raw, bad).column(name, np.flatnonzero(bad)) if bad.any() else ()
                for text in unfit:
                    total = EXACT.add(total, exact_number(text.as_py() or "") or Decimal(0))
                tally.sums[name] = total


def _tokens_only(array: pa.Array, faults: Faults) -> pa.Array:
    """Return a column that holds tokens already; whatever else stands in it is a fault."""
    is_token = pc.fill_null(pc.match_substring_regex(array, TOKEN_PATTERN), True)
    bad = pc.invert(is_token)
    if pc.any(bad).as_py():
        add_fault(faults, NOT_A_TOKEN, bad.to_numpy(zero_copy_only=False))
        return pc.if_else(bad, pa.scalar(None, array.type), array)
    return array


def _filtered(array: pa.Array, kept: pa.Array | None) -> pa.Array:
    return array if kept is None else array.filter(kept)


def _sum(array: pa.Array) -> Decimal:
    if pa.types.is_integer(array.type):
        array = array.cast(pa.decimal128(19, 0))
    # Its own precision is as many digits as a sum of this column may need in one batch.
    total = pc.sum(array.cast(pa.decimal256(76, array.type.scale))).as_py()
    return total if total is not None else Decimal(0)


def _extremes(array: pa.Array) -> tuple[int | str | None, int | str | None]:
    found = pc.min_max(array)
    return found["min"].as_py(), found["max"].as_py()


def _least(
    one: int | str | None, other: int | str | None, choose: Callable[..., int | str]
) -> int | str | None:
    if one is None or other is None:
        return other if one is None else one
    return choose(one, other)


class _RawTexts:
    """Those rows of a batch that do not fit, as the database has them, every value a text."""

    def __init__(self, raw: RawBatch, unfit: Mask) -> None:
        self._raw = raw
        self._rows = np.flatnonzero(unfit)
        self._misfits: dict[str, dict[int, str]] = defaultdict(dict)
        for misfit in raw.misfits:
            self._misfits[misfit.column][misfit.row] = misfit.raw
        self._columns: dict[str, pa.Array] = {}

    def column(self, name: str, places: npt.NDArray[np.intp]) -> pa.Array:
        """Return a column's values at some rows of the batch, all of them unfit."""
        return self.chosen(self._column(name), places)

    def rows(self, dropped: Mask) -> pa.Array:
        """Return each unfit row whole, as JSON, where it is dropped; else null."""
        names = self._raw.rows.schema.names
        is_dropped = dropped[self._rows]
        if not is_dropped.any():
            return pa.nulls(len(self._rows), pa.string())
        columns = [self._column(name).to_pylist() for name in names]
        texts = [
            json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False) if drops else None
            for drops, *values in zip(is_dropped.tolist(), *columns, strict=True)
        ]
        return pa.array(texts, pa.string())

    def chosen(self, values: pa.Array, places: npt.NDArray[np.intp]) -> pa.Array:
        """Return of one value for each unfit row those at some rows of the batch."""
        return values.take(pa.array(np.searchsorted(self._rows, places)))

    def _column(self, name: str) -> pa.Array:
        if name not in self._columns:
            whole = self._raw.rows.column(self._raw.rows.schema.names.index(name))
            texts = _texts(whole.take(pa.array(self._rows)))
            for row, text in self._misfits[name].items():
                texts[int(np.searchsorted(self._rows, row))] = text
            self._columns[name] = pa.array(texts, pa.string())
        return self._columns[name]


def _texts(array: pa.Array) -> list[str | None]:
    if pa.types.is_timestamp(array.type):
        # Beyond year 9999 Python has no instant: microseconds since 1970 say it all.
        found, form = array.view(pa.int64()), "{} us"
    elif pa.types.is_date(array.type):
        found, form = array.view(pa.int32()), "{} days"
    else:
        found, form = array, "{}"
    return [None if value is None else form.format(value) for value in found.to_pylist()]
