"""Writing one file of the lake without some of its rows; all else about it stays as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from extract.erasure.belonging import Belonging
from extract.erasure.find import Erased
from extract.erasure.held import key_columns
from extract.lake import Partition
from extract.partitions import ParquetFile
from extract.values import Mask

BATCH_ROWS = 65_536
# What a row that goes is counted as.
Kind = Literal["erased", "expired"]


@dataclass(frozen=True)
class Change:
    """What left one partition, from its lake file or from its quarantine.

    Attributes:
        rows: rows that went.
        keys: the tokens of those rows.
        nulls: per column, nulls of the source among them.
        emptied: per column, how many places were emptied, or, below zero, emptied places that went.
        dropped: rows among them that were in quarantine.
        dropped_nulls: per column, nulls of the source among those.
        quarantined: values that left quarantine, by column, reason and whether the row was dropped.
        items: how many rows of the quarantine file went or were changed.
    """

    rows: int
    keys: frozenset[str]
    nulls: Counter[str] = field(default_factory=Counter)
    emptied: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    dropped_nulls: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    items: int = 0

    def applied(self, before: Partition, kind: Kind) -> Partition:
        """Return what is to be said of the partition now; ``kind`` says as what its rows count."""
        left = (
            replace(q, rows=q.rows - self.quarantined[(q.column, q.reason, q.is_row_dropped)])
            for q in before.quarantined
        )
        after = replace(
            before,
            rows=before.rows - (self.rows - self.dropped),
            dropped=before.dropped - self.dropped,
            quarantined=tuple(q for q in left if q.rows > 0),
            emptied=_sum(before.emptied, self.emptied, 1),
            dropped_nulls=_sum(before.dropped_nulls, self.dropped_nulls, -1),
        )
        if kind == "expired":
            nulls = _sum(before.expired_nulls, self.nulls, 1)
            return replace(after, expired=before.expired + self.rows, expired_nulls=nulls)
        nulls = _sum(before.erased_nulls, self.nulls, 1)
        return replace(after, erased=before.erased + self.rows, erased_nulls=nulls)


class OrderedFile(ParquetFile):
    """A file whose rows come in the order that they already have in another."""

    def __init__(self, path: Path, schema: pa.Schema, *, key: str) -> None:
        # The key decides on the encoding alone.
        super().__init__(path, schema, key=key)
        self._key = None


def rewrite_lake_file(
    file: Path, target: Path, belonging: Belonging, erased: Erased
) -> Change | None:
    """Write a lake file without the rows of the erased; None, and no file, where it has none.

    A row of somebody else that refers to an erased row stays; the reference is emptied.
    """
    columns = key_columns(file, belonging)
    owned = erased.owned(belonging, columns)
    referring = belonging.referring(columns, erased.is_in)
    emptied = {name: mask & ~owned for name, mask in referring.items()}
    if not owned.any() and not any(mask.any() for mask in emptied.values()):
        return None
    keys = columns[belonging.table.primary_key].filter(pa.array(owned))
    nulls: Counter[str] = Counter()
    with pq.ParquetFile(file) as reader:
        writer = OrderedFile(target, reader.schema_arrow, key=belonging.table.primary_key)
        start = 0
        try:
            for batch in reader.iter_batches(BATCH_ROWS):
                stop = start + batch.num_rows
                gone = batch.filter(pa.array(owned[start:stop]))
                for name, column in zip(gone.schema.names, gone.columns, strict=True):
                    nulls[name] += column.null_count
                here = {name: mask[start:stop] for name, mask in emptied.items()}
                kept = without_references(batch, here).filter(pa.array(~owned[start:stop]))
                writer.write(kept)
                start = stop
            writer.close()
        finally:
            writer.discard()
    return Change(
        rows=int(owned.sum()),
        keys=frozenset(keys.cast(pa.string()).to_pylist()),
        nulls=+nulls,
        emptied=Counter({name: int(mask.sum()) for name, mask in emptied.items()}),
    )


def without_references(batch: pa.RecordBatch, emptied: Mapping[str, Mask]) -> pa.RecordBatch:
    """Return rows whose named places are empty."""
    for name, mask in emptied.items():
        if mask.any():
            place = batch.schema.get_field_index(name)
            column = batch.column(place)
            empty = pc.if_else(pa.array(mask), pa.scalar(None, column.type), column)
            batch = batch.set_column(place, batch.schema.field(place), empty)
    return batch


def rewrite_person_map(
    file: Path, target: Path, domains: Mapping[str, list[str]], erased: Erased
) -> bool:
    """Write a person map without the erased registrations; no file where it has none."""
    table = pq.read_table(file)
    sources = np.asarray(table.column("source_name").to_pylist(), dtype=object)
    keys = table.column("registration_key").combine_chunks()
    gone = np.zeros(table.num_rows, dtype=np.bool_)
    for source, names in domains.items():
        for domain in names:
            gone |= (sources == source) & erased.is_in(domain, keys)
    if not gone.any():
        return False
    write_rows(target, table.filter(pa.array(~gone)))
    return True


def write_rows(target: Path, table: pa.Table) -> None:
    """Write a table of a private zone whole, and sync it; one without rows has its schema alone."""
    writer = ParquetFile(target, table.schema.remove_metadata())
    for batch in table.replace_schema_metadata(None).to_batches():
        writer.write(batch)
    writer.close()


def _sum(before: Mapping[str, int], more: Mapping[str, int], sign: int) -> dict[str, int]:
    names = sorted({*before, *more})
    found = {name: before.get(name, 0) + sign * more.get(name, 0) for name in names}
    return {name: count for name, count in found.items() if count}
