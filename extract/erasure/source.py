"""The extractor's side: rows of erased registrations are read, counted and not kept.

Whose a row is must be known before it is read: a new diagnosis names nothing but its visit. So the
keys of every table that other rows refer to are looked through first, in the same state of the
database, wherever a tombstone stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from extract.contracts import SourceContract, TableContract
from extract.convert import Converted, Converter, Tally
from extract.erasure.belonging import Belonging, Place, belongings, parents
from extract.erasure.keysets import united
from extract.erasure.rewrite import without_references
from extract.erasure.tombstones import Tombstones, is_in
from extract.identity.tokens import Tokeniser
from extract.sources.base import WHOLE_TABLE, Misfit, RawBatch, Source
from extract.values import Mask
from governance.errors import ContractError


class SourceErasure:
    """The erased keys of the databases that a snapshot reads.

    Args:
        tombstones: all erasures.
        tables: the declared tables, in the order in which their sources are read.
        tokeniser: makes the snapshot's tokens, and writes nothing down.
    """

    def __init__(
        self, tombstones: Tombstones, tables: Iterable[TableContract], tokeniser: Tokeniser
    ) -> None:
        self._tombstones = tombstones
        self._tokeniser = tokeniser
        declared = list(tables)
        self._tables = belongings(declared)
        self._parents = parents(self._tables.values())
        self._raw: dict[str, dict[pa.DataType, set[int | str]]] = {}
        _refuse_late_parents(self._tables, list(dict.fromkeys(t.source for t in declared)))

    def look(self, source: Source, contract: SourceContract) -> None:
        """Find the erased keys of a database that is open, until there are no more of them."""
        own = [b for b in self._tables.values() if b.table.source == contract.name]
        wanted = [b for b in own if b.key_domain in self._parents]
        while True:
            before = self._size()
            for belonging in wanted:
                self._look_through(source, belonging)
            if self._size() == before:
                return

    def _look_through(self, source: Source, belonging: Belonging) -> None:
        table = belonging.table
        keys = replace(table, columns=belonging.columns, cursor=None, partition_by=None)
        for batch in source.read(keys, WHOLE_TABLE):
            columns = dict(zip(batch.rows.schema.names, batch.rows.columns, strict=True))
            owned = pa.array(belonging.owned(columns, self.is_erased))
            found = columns[table.primary_key].filter(owned).drop_null()
            if len(found):
                kind = _kind(found)
                known = self._raw.setdefault(belonging.key_domain, {}).setdefault(kind, set())
                known.update(found.cast(kind).to_pylist())

    def is_erased(self, domain: str, values: pa.Array) -> Mask:
        """Return which of a database's keys are erased."""
        found = self._tombstones.names_source(domain, values)
        known = self._raw.get(domain, {}).get(_kind(values))
        if known:
            kind = _kind(values)
            found = found | is_in(values.cast(kind), pa.array(sorted(known), kind))
        return found

    def converter(
        self, table: TableContract, codes: Mapping[str, pa.Array], tokeniser: Tokeniser
    ) -> Converter:
        """Return a table's converter; for rows of persons, one that keeps the erased out."""
        belonging = self._tables.get((table.source, table.name))
        if belonging is None:
            return Converter(table, codes, tokeniser)
        # The tokens of erased rows must not get into a map from old to new ones.
        apart = Converter(table, codes, self._tokeniser)
        return ErasingConverter(belonging, self, apart, codes, tokeniser)

    def keys(self, key: bytes) -> dict[str, str]:
        """Return the digests of the erased keys, for the manifest."""
        tokens = {
            domain: [
                token
                for kind, values in kinds.items()
                for token in self._tokeniser.tokenise(pa.array(list(values), kind), domain).tolist()
            ]
            for domain, kinds in self._raw.items()
        }
        return united({}, tokens, self._tables.values(), key)

    def may_link(
        self, table: TableContract, before: Mapping[str, str], now: Mapping[str, str]
    ) -> bool:
        """Whether an unchanged partition's rows still belong to whom they did."""
        belonging = self._tables.get((table.source, table.name))
        domains = [c.key_domain or "" for c in belonging.references] if belonging else []
        return all(before.get(domain) == now.get(domain) for domain in domains)

    def _size(self) -> int:
        return sum(len(values) for kinds in self._raw.values() for values in kinds.values())


class ErasingConverter(Converter):
    """Converts the batches of one table without the rows of the erased, which it counts."""

    def __init__(
        self,
        belonging: Belonging,
        erasure: SourceErasure,
        apart: Converter,
        codes: Mapping[str, pa.Array],
        tokeniser: Tokeniser,
    ) -> None:
        super().__init__(belonging.table, codes, tokeniser)
        self._belonging, self._erasure, self._apart = belonging, erasure, apart

    def convert(self, raw: RawBatch, tally: Tally) -> Converted:
        """Sort one batch into its zones and count it."""
        columns = dict(zip(raw.rows.schema.names, raw.rows.columns, strict=True))
        owned = self._belonging.owned(columns, self._erasure.is_erased)
        if owned.any():
            self._count_erased(_part(raw, owned), tally)
            raw = _part(raw, ~owned)
            columns = dict(zip(raw.rows.schema.names, raw.rows.columns, strict=True))
        referring = self._belonging.referring(columns, self._erasure.is_erased)
        for name, mask in referring.items():
            # A null in the lake that the source does not have.
            tally.emptied[name] += int(mask.sum())
        kept = RawBatch(without_references(raw.rows, referring), raw.misfits)
        return super().convert(kept, tally)

    def _count_erased(self, raw: RawBatch, tally: Tally) -> None:
        """Compare the rows with the source like any other, and keep nothing but the counts."""
        counted = Tally(
            key_minimum=tally.key_minimum, key_maximum=tally.key_maximum, sums=tally.sums
        )
        self._apart.convert(raw, counted)
        tally.key_minimum, tally.key_maximum = counted.key_minimum, counted.key_maximum
        tally.erased += raw.rows.num_rows
        misfits = {(m.column, m.row) for m in raw.misfits}
        for column in self._belonging.table.lake_columns:
            absent = raw.rows.column(raw.rows.schema.get_field_index(column.name)).is_null()
            rows = np.flatnonzero(absent.to_numpy(zero_copy_only=False)).tolist()
            nulls = sum((column.name, row) not in misfits for row in rows)
            if nulls:
                tally.erased_nulls[column.name] += nulls


def _part(raw: RawBatch, wanted: Mask) -> RawBatch:
    """Return some rows of a batch, with their misfits."""
    places = np.cumsum(wanted) - 1
    misfits = tuple(
        Misfit(int(places[m.row]), m.column, m.raw, m.reason) for m in raw.misfits if wanted[m.row]
    )
    return RawBatch(raw.rows.filter(pa.array(wanted)), misfits)


def _kind(values: pa.Array) -> pa.DataType:
    return pa.int64() if pa.types.is_integer(values.type) else pa.string()


def _refuse_late_parents(tables: Mapping[Place, Belonging], order: list[str]) -> None:
    owners = {b.key_domain: b.table for b in tables.values()}
    for belonging in tables.values():
        for column in belonging.references:
            parent = owners.get(column.key_domain or "", belonging.table)
            if order.index(parent.source) > order.index(belonging.table.source):
                raise ContractError(
                    f"{column.where}: rows of {belonging.table.source}.{belonging.table.name} "
                    f"refer to {parent.source}.{parent.name}, whose source is read later, so that "
                    "rows of erased persons could not be told: name a column of an earlier source."
                )
