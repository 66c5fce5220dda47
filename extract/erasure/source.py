"""The extractor's side: rows of erased registrations are read, counted and not kept.

Whose a row is must be known before it is read: a new diagnosis names nothing but its visit. So the
keys of every table that other rows refer to are looked through first, in the same state of the
database, wherever a tombstone stands. What refers to a visit that the database no longer has is
known by the visit's tombstone; a visit that it has is whose it says now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from extract.contracts import SourceContract
from extract.erasure.belonging import Belonging, Place, parents
from extract.erasure.dropping import Columns, Keys, keys_of
from extract.erasure.keysets import united
from extract.erasure.rewrite import Kind
from extract.erasure.tombstones import Tombstones, is_in
from extract.identity.tokens import Tokeniser
from extract.sources.base import Source
from extract.values import Mask


class SourceErasure:
    """The erased keys of the databases that a snapshot reads; a ``Dropper``.

    Args:
        tombstones: all erasures.
        tables: how the rows of the declared tables belong to persons.
        tokeniser: makes the snapshot's tokens, and writes nothing down.
        keys: the token keys of every epoch: a tombstone is of the one it was made in.
    """

    kind: Kind = "erased"

    def __init__(
        self,
        tombstones: Tombstones,
        tables: Mapping[Place, Belonging],
        tokeniser: Tokeniser,
        keys: Iterable[bytes],
    ) -> None:
        self._tombstones = tombstones
        self._tokeniser = tokeniser
        self._makers = [Tokeniser(key) for key in keys]
        self._tables = tables
        self._parents = parents(self._tables.values())
        self._raw = Keys()
        # Keys under a tombstone that the database has, erased or not.
        self._present = Keys()

    def look(self, source: Source, contract: SourceContract) -> None:
        """Find the erased keys of a database that is open, until there are no more of them."""
        own = [b for b in self._tables.values() if b.table.source == contract.name]
        wanted = [b for b in own if b.key_domain in self._parents]
        for belonging in wanted:
            for columns in keys_of(source, belonging):
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
        for columns in keys_of(source, belonging):
            owned = pa.array(belonging.owned(columns, self.is_gone))
            self._raw.add(belonging.key_domain, columns[belonging.table.primary_key].filter(owned))

    def is_gone(self, domain: str, values: pa.Array) -> Mask:
        """Return which of a database's keys are erased."""
        found = self._tombstones.names_source(domain, values) | self._raw.has(domain, values)
        if pa.types.is_string(values.type):
            # Of a column that holds tokens; no record id is equal to another record's token.
            found = found | self._is_token_gone(domain, values)
        if domain in self._parents:
            orphaned = self._is_marked(domain, values) & ~self._present.has(domain, values)
            found = found | orphaned
        return found

    def _is_token_gone(self, domain: str, values: pa.Array) -> Mask:
        """Return which tokens are those of erased records: as the database has it, where it can."""
        found = self._tombstones.names_token(domain, values)
        for keys in self._present.of(domain):
            found = found & ~is_in(values, self._tokeniser.tokenise(keys, domain))
        for keys in self._raw.of(domain):
            found = found | is_in(values, self._tokeniser.tokenise(keys, domain))
        return found

    def _is_marked(self, domain: str, values: pa.Array) -> Mask:
        marked = np.zeros(len(values), dtype=np.bool_)
        if domain in self._tombstones.token_marks:
            for maker in self._makers:
                marked |= self._tombstones.names_token(domain, maker.tokenise(values, domain))
        return marked

    def owned(self, belonging: Belonging, columns: Columns) -> Mask:
        """Return which rows of a database belong to somebody who is erased."""
        return belonging.owned(columns, self.is_gone)

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
