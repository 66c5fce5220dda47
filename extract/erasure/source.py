"""The extractor's side: rows of erased registrations are read, counted and not kept.

Whose a row is must be known before it is read: a new diagnosis names nothing but its visit. So the
keys of every table that other rows refer to are looked through first, in the same state of the
database, wherever a tombstone stands. What refers to a visit that the database no longer has is
known by the visit's tombstone; a visit that it has is whose it says now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
        keys: the token keys of every epoch: a tombstone is of the one it was made in.
    """

    def __init__(
        self,
        tombstones: Tombstones,
        tables: Iterable[TableContract],
        tokeniser: Tokeniser,
        keys: Iterable[bytes],
    ) -> None:
        self._tombstones = tombstones
        self._tokeniser = tokeniser
        self._makers = [Tokeniser(key) for key in keys]
        declared = list(tables)
        self._tables = belongings(declared)
        self._parents = parents(self._tables.values())
        self._raw = Keys()
        # Keys under a tombstone that the database has, erased or not.
        self._present = Keys()
        _refuse_late_parents(self._tables, list(dict.fromkeys(t.source for t in declared)))

    def look(self, source: Source, contract: SourceContract) -> None:
        """Find the erased keys of a database that is open, until there are no more of them."""
        own = [b for b in self._tables.values() if b.table.source == contract.name]
        wanted = [b for b in own if b.key_domain in self._parents]
        for belonging in wanted:
            for columns in _keys_of(source, belonging):
                keys = columns[belonging.table.primary_key]
                marked = pa.array(self._is_marked(belonging.key_domain, keys))
                self._present.add(belonging.key_domain, keys.filter(marked))
        looked: dict[str, int] = {}
        while True:
            before = self._raw.size
            for belonging in wanted:
                known = self._raw.size_of(belonging.domains)
                if looked.get(belonging.table.name) != known:
                    looked[belonging.table.name] = known
                    self._look_through(source, belonging)
            if self._raw.size == before:
                return

    def _look_through(self, source: Source, belonging: Belonging) -> None:
        for columns in _keys_of(source, belonging):
            owned = pa.array(belonging.owned(columns, self.is_erased))
            self._raw.add(belonging.key_domain, columns[belonging.table.primary_key].filter(owned))

    def is_erased(self, domain: str, values: pa.Array) -> Mask:
        """Return which of a database's keys are erased."""
        found = self._tombstones.names_source(domain, values) | self._raw.has(domain, values)
        if domain in self._parents:
            orphaned = self._is_marked(domain, values) & ~self._present.has(domain, values)
            found = found | orphaned
        return found

    def _is_marked(self, domain: str, values: pa.Array) -> Mask:
        marked = np.zeros(len(values), dtype=np.bool_)
        if domain in self._tombstones.token_marks:
            for maker in self._makers:
                marked |= self._tombstones.names_token(domain, maker.tokenise(values, domain))
        return marked

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
        tokens: dict[str, list[str]] = {}
        for domain, values in self._raw.arrays():
            tokens.setdefault(domain, []).extend(
                self._tokeniser.tokenise(values, domain).to_pylist()
            )
        # A visit that passed to somebody else changes whose its diagnoses are.
        for domain, values in self._present.arrays():
            standing = values.filter(pa.array(~self._raw.has(domain, values)))
            found = self._tokeniser.tokenise(standing, domain).to_pylist()
            tokens.setdefault(domain, []).extend(f"standing {token}" for token in found)
        return united({}, tokens, self._tables.values(), key)

    def may_link(
        self, table: TableContract, before: Mapping[str, str], now: Mapping[str, str]
    ) -> bool:
        """Whether an unchanged partition's rows still belong to whom they did."""
        belonging = self._tables.get((table.source, table.name))
        domains = [c.key_domain or "" for c in belonging.references] if belonging else []
        return all(before.get(domain) == now.get(domain) for domain in domains)


class Keys:
    """Record keys as databases have them, by key domain; a number is not its text."""

    def __init__(self) -> None:
        self._keys: dict[str, dict[pa.DataType, set[int | str]]] = {}

    @property
    def size(self) -> int:
        """How many keys there are."""
        return self.size_of(self._keys)

    def size_of(self, domains: Iterable[str]) -> int:
        """Return how many keys some domains have."""
        return sum(len(known) for d in domains for known in self._keys.get(d, {}).values())

    def add(self, domain: str, values: pa.Array) -> None:
        """Add keys of a domain; a null is none."""
        values = values.drop_null()
        if len(values):
            known = self._keys.setdefault(domain, {}).setdefault(_kind(values), set())
            known.update(values.cast(_kind(values)).to_pylist())

    def has(self, domain: str, values: pa.Array) -> Mask:
        """Return which values are among the domain's keys."""
        kind = _kind(values)
        known = self._keys.get(domain, {}).get(kind)
        if not known:
            return np.zeros(len(values), dtype=np.bool_)
        return is_in(values.cast(kind), pa.array(list(known), kind))

    def arrays(self) -> Iterator[tuple[str, pa.Array]]:
        """Yield each domain with its keys of one kind."""
        for domain, kinds in self._keys.items():
            for kind, known in kinds.items():
                yield domain, pa.array(list(known), kind)


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


def _keys_of(source: Source, belonging: Belonging) -> Iterator[dict[str, pa.Array]]:
    """Yield the columns that say whose a table's rows are, and nothing else of it."""
    keys = replace(belonging.table, columns=belonging.columns, cursor=None, partition_by=None)
    for batch in source.read(keys, WHOLE_TABLE):
        yield dict(zip(batch.rows.schema.names, batch.rows.columns, strict=True))


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
