"""The extractor's side: what has expired is read, counted and not kept, like what was erased."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from extract.contracts import SourceContract, TableContract
from extract.convert import Converter
from extract.erasure.belonging import Belonging, Place, belongings, parents
from extract.erasure.dropping import (
    Columns,
    Dropper,
    DroppingConverter,
    Keys,
    keys_of,
    refuse_late_parents,
)
from extract.erasure.keysets import united
from extract.erasure.rewrite import Kind
from extract.erasure.source import SourceErasure
from extract.erasure.tombstones import Tombstones, is_in
from extract.expiry.policy import Rules, clock, concerned, rules_of
from extract.identity.epochs import TokenKey, every_token_key
from extract.identity.tokens import Tokeniser
from extract.lake import Manifest
from extract.sources.base import Source
from extract.values import Mask
from governance.settings import Settings


class SourceExpiry:
    """The expired rows of the databases that a snapshot reads; a ``Dropper``.

    A row expires by its own date, or, where it names no registration itself, with the row that it
    refers to: a diagnosis with its visit. In a row that stays the reference is emptied.

    Args:
        rules: the policies.
        tables: how the rows of the declared tables belong to persons and to one another.
        tokeniser: makes the snapshot's tokens, and writes nothing down.
    """

    kind: Kind = "expired"

    def __init__(
        self, rules: Rules, tables: Mapping[Place, Belonging], tokeniser: Tokeniser
    ) -> None:
        self._rules = rules
        self._tables = tables
        self._tokeniser = tokeniser
        self._keys = Keys()

    def look(self, source: Source, contract: SourceContract) -> None:
        """Find the keys of expired rows that others refer to, until there are no more of them."""
        referred = parents(self._tables.values())
        wanted = [
            (place, b)
            for place, b in concerned(self._rules, self._tables).items()
            if b.table.source == contract.name and b.key_domain in referred
        ]
        looked: dict[Place, int] = {}
        while True:
            before = self._keys.size
            for place, belonging in wanted:
                known = self._keys.size_of(belonging.domains)
                if looked.get(place) != known:
                    looked[place] = known
                    dates = [self._rules[place].column] if place in self._rules else []
                    for columns in keys_of(source, belonging, *dates):
                        gone = pa.array(self.owned(belonging, columns))
                        keys = columns[belonging.table.primary_key].filter(gone)
                        self._keys.add(belonging.key_domain, keys)
            if self._keys.size == before:
                return

    def is_gone(self, domain: str, values: pa.Array) -> Mask:
        """Return which of a database's keys are those of expired rows."""
        found = self._keys.has(domain, values)
        if pa.types.is_string(values.type):
            # Of a column that holds tokens; no record id is equal to another record's token.
            for keys in self._keys.of(domain):
                found = found | is_in(values, self._tokeniser.tokenise(keys, domain))
        return found

    def owned(self, belonging: Belonging, columns: Columns) -> Mask:
        """Return which rows of a database have expired."""
        gone = belonging.owned(columns, self.is_gone)
        rule = self._rules.get((belonging.table.source, belonging.table.name))
        return gone if rule is None else gone | rule.is_old_in_source(columns[rule.column.name])

    def keys(self, key: bytes) -> dict[str, str]:
        """Return the digests of the expired keys, for the manifest."""
        tokens = {
            domain: self._tokeniser.tokenise(values, domain).to_pylist()
            for domain, values in self._keys.arrays()
        }
        return united({}, tokens, self._tables.values(), key)


class Dropping:
    """What a snapshot reads and does not keep.

    Args:
        rules: the policies of retention.
        tables: how the rows of the declared tables belong to persons; empty where none may go.
        erasure: who was erased; None before the first erasure.
        expiry: what is too old; None without a policy.
        key: the snapshot's token key.
    """

    def __init__(
        self,
        rules: Rules,
        tables: Mapping[Place, Belonging],
        erasure: SourceErasure | None,
        expiry: SourceExpiry | None,
        key: TokenKey,
    ) -> None:
        self.rules = rules
        self.erased_keys: dict[str, str] = {}
        self.expired_keys: dict[str, str] = {}
        self._tables = tables
        self._erasure, self._expiry = erasure, expiry
        self._key = key

    def look(self, source: Source, contract: SourceContract) -> None:
        """Find in a database that is open what the rows of other tables can refer to."""
        if self._erasure is not None:
            self._erasure.look(source, contract)
            self.erased_keys = self._erasure.keys(self._key.secret)
        if self._expiry is not None:
            self._expiry.look(source, contract)
            self.expired_keys = self._expiry.keys(self._key.secret)

    def converter(
        self, table: TableContract, codes: Mapping[str, pa.Array], tokeniser: Tokeniser
    ) -> Converter:
        """Return a table's converter; for rows of persons, one that keeps out what goes."""
        belonging = self._tables.get((table.source, table.name))
        # Who is erased first: what is theirs is theirs, however old.
        droppers: list[Dropper] = [d for d in (self._erasure, self._expiry) if d is not None]
        if belonging is None or not droppers:
            return Converter(table, codes, tokeniser)
        # The tokens of rows that go must not get into a map from old to new ones.
        apart = Converter(table, codes, self._key.tokeniser())
        return DroppingConverter(belonging, droppers, apart, codes, tokeniser)

    def state(self, table: TableContract, period: str) -> list[str]:
        """Return what a table's own policy makes of a partition; nothing where all of it stays."""
        rule = self.rules.get((table.source, table.name))
        state = rule.state(period) if rule else ""
        return [state] if state else []

    def may_link(self, table: TableContract, before: Manifest) -> bool:
        """Whether the rows that an unchanged partition refers to are still there, or still gone."""
        if not self._tables:
            # Nothing goes any more; an earlier policy may have taken rows out.
            return not before.expired_keys
        belonging = self._tables.get((table.source, table.name))
        domains = [c.key_domain or "" for c in belonging.references] if belonging else []
        return all(
            old.get(domain) == new.get(domain)
            for domain in domains
            for old, new in (
                (before.erased_keys, self.erased_keys),
                (before.expired_keys, self.expired_keys),
            )
        )


def dropping(
    settings: Settings,
    declared: Iterable[TableContract],
    tombstones: Tombstones | None,
    key: TokenKey,
) -> Dropping:
    """Return what a snapshot must not keep.

    Args:
        settings: the installation.
        declared: the tables, in the order in which their sources are read.
        tombstones: all erasures.
        key: the snapshot's token key.

    Raises:
        ContractError: nobody can say whose the rows of a table are, or not when it is read.
        SettingsError: a policy names no table or column that can have one.
    """
    tables = list(declared)
    rules = rules_of(settings, tables, clock())
    if not rules and tombstones is None:
        return Dropping(rules, {}, None, None, key)
    owned = belongings(tables)
    refuse_late_parents(owned, tables)
    known = every_token_key(settings)
    return Dropping(
        rules,
        owned,
        SourceErasure(tombstones, owned, key.tokeniser(), known) if tombstones else None,
        SourceExpiry(rules, owned, key.tokeniser()) if rules else None,
        key,
    )
