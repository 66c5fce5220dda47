"""Which rows are a person's: from a token to registrations, and from those to all of their rows.

What is found is a set of tokens for each key domain. It grows over every snapshot until nothing is
added: a diagnosis of today can refer to a visit that only an older snapshot still has. Maps from
old to new tokens join the epochs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from extract.contracts import TableContract
from extract.erasure.belonging import Belonging
from extract.erasure.held import (
    Held,
    HeldSnapshot,
    Inode,
    QuarantinedRow,
    inode_of,
    key_columns,
    one_array,
    quarantined_rows,
    typed_key,
)
from extract.erasure.tombstones import PERSON_DOMAIN, Tombstones, is_in
from extract.identity.epochs import every_token_key
from extract.identity.tokens import Tokeniser
from extract.identity.vault import CROSSWALK
from extract.values import Mask
from governance.errors import ErasureError


@dataclass(frozen=True)
class Registration:
    """One registration: its table and its id as the crosswalk keeps it."""

    table: TableContract
    source_id: str

    @property
    def value(self) -> int | str:
        """The id as the database has it."""
        value = typed_key(self.table.key, self.source_id)
        return self.source_id if value is None else value


class Erased:
    """The erased keys of each key domain."""

    def __init__(self) -> None:
        self.tokens: dict[str, set[str]] = {}
        self._arrays: dict[str, pa.Array] = {}

    def add(self, domain: str, tokens: Iterable[str | None]) -> None:
        """Add the tokens of a domain."""
        known = self.tokens.setdefault(domain, set())
        known.update(token for token in tokens if token is not None)

    def owned(self, belonging: Belonging, columns: Mapping[str, pa.Array]) -> Mask:
        """Return which rows of a lake file go."""
        return belonging.owned(columns, self.is_in)

    def owns(self, belonging: Belonging, row: QuarantinedRow) -> bool:
        """Whether a whole row in quarantine goes."""
        return any(belonging.owned(one_row(keys), self.is_in)[0] for keys in row.keys)

    def mark(self, belonging: Belonging) -> str:
        """Tell apart what goes from one and the same file of a table in different snapshots."""
        return ""

    def size(self, domains: Iterable[str]) -> int:
        """Return how many keys some domains have; it only grows."""
        return sum(len(self.tokens.get(domain, ())) for domain in domains)

    def is_in(self, domain: str, values: pa.Array) -> Mask:
        """Return which values of a domain are erased."""
        known = self.tokens.get(domain)
        if not known:
            return np.zeros(len(values), dtype=np.bool_)
        array = self._arrays.get(domain)
        if array is None or len(array) != len(known):
            array = self._arrays[domain] = pa.array(sorted(known), pa.string())
        return is_in(values.cast(pa.string()), array)

    @property
    def all(self) -> pa.Array:
        """Every token and person id; keys without token are no more than numbers, and left out."""
        sets = (known for domain, known in self.tokens.items() if not domain.startswith("row "))
        return pa.array(sorted(set().union(*sets)), pa.string())


def registrations_of(held: Held, named: str) -> tuple[list[Registration], set[str]]:
    """Return all registrations of the person that a registration token or a person id names.

    Args:
        held: the installation; the newest version of the vault decides who is one person.
        named: 20 hexadecimal digits.

    Returns:
        The registrations, and the person's ids.

    Raises:
        ErasureError: nobody has that token or id.
    """
    for snapshot in reversed(held.snapshots):
        if snapshot.version is None:
            continue
        rows = [row for batch in snapshot.version.batches(CROSSWALK) for row in batch.to_pylist()]
        named_rows = [r for r in rows if named in (r["registration_key"], r["person_key"])]
        persons = {r["person_key"] for r in named_rows} - {None}
        own = [r for r in rows if r["person_key"] in persons or r["registration_key"] == named]
        if own:
            return [_registration(held, snapshot, row) for row in own], persons
    raise ErasureError(
        "Nobody in the vault has the token or person id that was given: take it from the newest "
        "snapshot; whoever was erased before has none any more."
    )


def _registration(held: Held, snapshot: HeldSnapshot, row: dict[str, str]) -> Registration:
    found = [
        Registration(t, row["registration_id"]) for t in held.registrations(row["source_name"])
    ]
    for one in found:
        domain = one.table.key.key_domain or ""
        if snapshot.tokeniser.tokenise_one(one.value, domain) == row["registration_key"]:
            return one
    raise ErasureError(
        f"A registration of source {row['source_name']} has a token that no token key of the vault "
        f"makes for the snapshot {snapshot.name}: restore the vault from its backup."
    )


def tokens_of(held: Held, registrations: Iterable[Registration]) -> dict[str, set[str]]:
    """Return the registrations' tokens under every token key that the vault still has."""
    keys = every_token_key(held.settings)
    # A key is not of one epoch alone once the digits have begun again.
    makers = [Tokeniser(key, epoch) for key in keys for epoch in range(16)]
    tokens: dict[str, set[str]] = {}
    for registration in registrations:
        domain = registration.table.key.key_domain or ""
        for maker in makers:
            tokens.setdefault(domain, set()).add(maker.tokenise_one(registration.value, domain))
    return tokens


def named_by_tombstones(held: Held, tombstones: Tombstones) -> Erased:
    """Return the tokens that stand in the installation though they are under a tombstone."""
    erased = Erased()
    for domain, found in _all_tokens(held, set(tombstones.token_marks)):
        tokens = pc.unique(found.cast(pa.string()).drop_null())
        erased.add(domain, tokens.filter(pa.array(tombstones.names_token(domain, tokens))).tolist())
    return erased


def close(held: Held, erased: Erased) -> None:
    """Add the keys of every row that belongs to an erased registration, until there are no more."""
    looked: dict[Inode, int] = {}
    while True:
        before = erased.size(erased.tokens)
        for path in held.token_maps:
            _follow_map(path, erased)
        for belonging in held.tables.values():
            for snapshot in held.snapshots:
                _look(held, snapshot, belonging, erased, looked)
        if erased.size(erased.tokens) == before:
            return


def _look(
    held: Held,
    snapshot: HeldSnapshot,
    belonging: Belonging,
    erased: Erased,
    looked: dict[Inode, int],
) -> None:
    known = erased.size(belonging.domains)
    key = belonging.table.primary_key
    for file in snapshot.files(belonging).values():
        if known and looked.get(inode_of(file)) != known:
            looked[inode_of(file)] = known
            columns = key_columns(file, belonging)
            owned = pa.array(belonging.owned(columns, erased.is_in))
            keys = columns[key].filter(owned)
            erased.add(belonging.key_domain, keys.cast(pa.string()).to_pylist())
            for column in belonging.names:
                if column.name in columns:
                    found = columns[column.name].filter(owned)
                    erased.add(column.key_domain or "", found.to_pylist())
    for file in snapshot.quarantined(belonging).values():
        if not known or looked.get(inode_of(file)) == known:
            continue
        looked[inode_of(file)] = known
        makers = held.tokenisers(snapshot)
        for row in quarantined_rows(pq.read_table(file), belonging, makers):
            if row.row is not None and erased.owns(belonging, row):
                erased.add(belonging.key_domain, [keys[key] for keys in row.keys])
                for column in belonging.names:
                    found = [keys[column.name] for keys in row.keys]
                    erased.add(column.key_domain or "", found)


def one_row(keys: Mapping[str, str | None]) -> dict[str, pa.Array]:
    """Return one row's tokens as columns."""
    return {name: pa.array([token], pa.string()) for name, token in keys.items()}


def _follow_map(path: Path, erased: Erased) -> None:
    pairs = pq.read_table(path)
    for domain in list(erased.tokens):
        own = pairs.filter(pc.equal(pairs.column("key_domain"), domain))
        for name, other in itertools.permutations(("old_token", "new_token")):
            mask = pa.array(erased.is_in(domain, one_array(own.column(name))))
            erased.add(domain, own.column(other).filter(mask).to_pylist())


def _all_tokens(held: Held, domains: set[str]) -> Iterator[tuple[str, pa.Array]]:
    """Yield the tokens of some domains wherever they stand."""
    seen: set[Inode] = set()
    for snapshot in held.snapshots:
        makers = held.tokenisers(snapshot)
        for belonging in held.tables.values():
            columns = [c for c in belonging.columns if c.key_domain in domains]
            for file in snapshot.files(belonging).values():
                if columns and inode_of(file) not in seen:
                    seen.add(inode_of(file))
                    values = key_columns(file, belonging)
                    yield from (
                        (c.key_domain or "", values[c.name]) for c in columns if c.name in values
                    )
            for file in snapshot.quarantined(belonging).values():
                for row in quarantined_rows(pq.read_table(file), belonging, makers):
                    for keys, column in itertools.product(row.keys, columns):
                        token = pa.array([keys.get(column.name)], pa.string())
                        yield column.key_domain or "", token
        yield from _vault_tokens(held, snapshot, domains)
    for path in held.token_maps:
        for row in (
            pq.read_table(path)
            .group_by("key_domain")
            .aggregate([("old_token", "list"), ("new_token", "list")])
            .to_pylist()
        ):
            if row["key_domain"] in domains:
                for name in ("old_token_list", "new_token_list"):
                    yield row["key_domain"], pa.array(row[name], pa.string())


def _vault_tokens(
    held: Held, snapshot: HeldSnapshot, domains: set[str]
) -> Iterator[tuple[str, pa.Array]]:
    if snapshot.version is None:
        return
    for belonging in held.tables.values():
        if belonging.key_domain in domains:
            table = belonging.table
            for path in snapshot.version.places(table.source, table.name):
                for batch in snapshot.version.batches(path, ["token"]):
                    yield belonging.key_domain, batch.column("token")
    for batch in snapshot.version.batches(CROSSWALK):
        if PERSON_DOMAIN in domains:
            yield PERSON_DOMAIN, batch.column("person_key")
        for source in set(batch.column("source_name").to_pylist()):
            own = batch.filter(pc.equal(batch.column("source_name"), source))
            for table in held.registrations(source):
                yield table.key.key_domain or "", own.column("registration_key")
