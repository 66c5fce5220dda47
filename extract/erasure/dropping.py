"""Rows that are read, counted and not kept: those of the erased, and those that have expired."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import pyarrow as pa

from extract.contracts import ColumnContract, TableContract
from extract.convert import Converted, Converter, Tally
from extract.erasure.belonging import Belonging, Place
from extract.erasure.rewrite import Kind, without_references
from extract.erasure.tombstones import is_in
from extract.identity.tokens import Tokeniser
from extract.sources.base import WHOLE_TABLE, Misfit, RawBatch, Source
from extract.values import Mask
from governance.errors import ContractError

Columns = Mapping[str, pa.Array]


class Dropper(Protocol):
    """Knows which rows of a database are not kept."""

    kind: Kind

    def owned(self, belonging: Belonging, columns: Columns) -> Mask:
        """Return which rows go; columns as the database has them."""
        ...

    def is_gone(self, domain: str, values: pa.Array) -> Mask:
        """Return which keys are those of rows that go."""
        ...


class DroppingConverter(Converter):
    """Converts the batches of one table without the rows that go, which it counts.

    Args:
        belonging: whose the table's rows are.
        droppers: say which rows go, the first of them first.
        apart: converts rows that go; what it makes is thrown away.
        codes: the codes of each code system the contract names.
        tokeniser: makes the tokens of the rows that stay.
    """

    def __init__(
        self,
        belonging: Belonging,
        droppers: Sequence[Dropper],
        apart: Converter,
        codes: Mapping[str, pa.Array],
        tokeniser: Tokeniser,
    ) -> None:
        super().__init__(belonging.table, codes, tokeniser)
        self._belonging, self._droppers, self._apart = belonging, droppers, apart

    def convert(self, raw: RawBatch, tally: Tally) -> Converted:
        """Sort one batch into its zones and count it."""
        for dropper in self._droppers:
            gone = dropper.owned(self._belonging, columns_of(raw))
            if gone.any():
                self._count_apart(_part(raw, gone), tally, dropper.kind)
                raw = _part(raw, ~gone)
        for dropper in self._droppers:
            referring = self._belonging.referring(columns_of(raw), dropper.is_gone)
            for name, mask in referring.items():
                # A null in the lake that the source does not have.
                tally.emptied[name] += int(mask.sum())
            raw = RawBatch(without_references(raw.rows, referring), raw.misfits)
        return super().convert(raw, tally)

    def _count_apart(self, raw: RawBatch, tally: Tally, kind: Kind) -> None:
        """Compare the rows with the source like any other, and keep nothing but the counts."""
        counted = Tally(
            key_minimum=tally.key_minimum, key_maximum=tally.key_maximum, sums=tally.sums
        )
        self._apart.convert(raw, counted)
        tally.key_minimum, tally.key_maximum = counted.key_minimum, counted.key_maximum
        if kind == "erased":
            tally.erased += raw.rows.num_rows
        else:
            tally.expired += raw.rows.num_rows
        nulls = tally.erased_nulls if kind == "erased" else tally.expired_nulls
        misfits = {(m.column, m.row) for m in raw.misfits}
        for column in self._belonging.table.lake_columns:
            absent = raw.rows.column(raw.rows.schema.get_field_index(column.name)).is_null()
            rows = np.flatnonzero(absent.to_numpy(zero_copy_only=False)).tolist()
            count = sum((column.name, row) not in misfits for row in rows)
            if count:
                nulls[column.name] += count


class Keys:
    """Record keys as databases have them, by key domain; a number is not its text."""

    def __init__(self) -> None:
        self._keys: dict[str, dict[pa.DataType, set[int | str]]] = {}
        self._sets: dict[tuple[str, pa.DataType], pa.Array] = {}

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
            self._sets.pop((domain, _kind(values)), None)

    def has(self, domain: str, values: pa.Array) -> Mask:
        """Return which values are among the domain's keys."""
        kind = _kind(values)
        known = self._keys.get(domain, {}).get(kind)
        if not known:
            return np.zeros(len(values), dtype=np.bool_)
        if (domain, kind) not in self._sets:
            self._sets[domain, kind] = pa.array(list(known), kind)
        return is_in(values.cast(kind), self._sets[domain, kind])

    def of(self, domain: str) -> Iterator[pa.Array]:
        """Yield the keys of a domain, those of one kind at a time."""
        for kind, known in self._keys.get(domain, {}).items():
            yield pa.array(list(known), kind)

    def arrays(self) -> Iterator[tuple[str, pa.Array]]:
        """Yield each domain with its keys of one kind."""
        for domain, kinds in self._keys.items():
            for kind, known in kinds.items():
                yield domain, pa.array(list(known), kind)


def columns_of(raw: RawBatch) -> dict[str, pa.Array]:
    """Return a batch's columns by name."""
    return dict(zip(raw.rows.schema.names, raw.rows.columns, strict=True))


def keys_of(
    source: Source, belonging: Belonging, *more: ColumnContract
) -> Iterator[dict[str, pa.Array]]:
    """Yield the columns that say whose a table's rows are, some more, and nothing else of it."""
    columns = {column.name: column for column in (*belonging.columns, *more)}
    keys = replace(belonging.table, columns=tuple(columns.values()), cursor=None, partition_by=None)
    for batch in source.read(keys, WHOLE_TABLE):
        yield columns_of(batch)


def refuse_late_parents(
    tables: Mapping[Place, Belonging], declared: Iterable[TableContract]
) -> None:
    """Make sure that whose a row is can be known when it is read.

    Args:
        tables: how rows belong to persons.
        declared: the tables in the order in which their sources are read.

    Raises:
        ContractError: a table refers to one of a source that is read later.
    """
    order = list(dict.fromkeys(table.source for table in declared))
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


def _part(raw: RawBatch, wanted: Mask) -> RawBatch:
    """Return some rows of a batch, with their misfits."""
    places = np.cumsum(wanted) - 1
    misfits = tuple(
        Misfit(int(places[m.row]), m.column, m.raw, m.reason) for m in raw.misfits if wanted[m.row]
    )
    return RawBatch(raw.rows.filter(pa.array(wanted)), misfits)


def _kind(values: pa.Array) -> pa.DataType:
    return pa.int64() if pa.types.is_integer(values.type) else pa.string()
