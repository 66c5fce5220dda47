"""Whose a row is, found from the contracts alone.

A row belongs to the registrations that its ``person_key`` columns name. Where it names none, it
belongs to whom the row belongs that it refers to: a diagnosis to its visit's patient, an adjustment
to its remittance's. A table whose rows can be found neither way must say that it is about
organisations (``subject: organisation`` in its contract); otherwise nobody could be erased from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from extract.contracts import ColumnContract, TableContract
from extract.values import Mask
from governance.errors import ContractError

# Tells which values of a key domain are a person's that is erased.
IsErased = Callable[[str, pa.Array], Mask]
Place = tuple[str, str]


@dataclass(frozen=True)
class Belonging:
    """How the rows of one table are told to be a person's.

    Attributes:
        table: the contract.
        persons: columns that name a registration.
        references: columns that name a row of a table whose rows belong to persons.
        names: other keys of the row itself, such as a claim's number: no table has them as its
            primary key.
    """

    table: TableContract
    persons: tuple[ColumnContract, ...]
    references: tuple[ColumnContract, ...]
    names: tuple[ColumnContract, ...]

    @property
    def key_domain(self) -> str:
        """The key domain of the table's own rows; a name of its own where they have no token."""
        return self.table.key.key_domain or f"row {self.table.source}.{self.table.name}"

    @cached_property
    def columns(self) -> tuple[ColumnContract, ...]:
        """Every column that takes part: the primary key, registrations, references, names."""
        columns = (self.table.key, *self.persons, *self.references, *self.names)
        return tuple({column.name: column for column in columns}.values())

    @property
    def domains(self) -> frozenset[str]:
        """The key domains that decide whose a row is."""
        return frozenset(c.key_domain or "" for c in (*self.persons, *self.references))

    def owned(self, columns: Mapping[str, pa.Array], is_erased: IsErased) -> Mask:
        """Return which rows belong to somebody who is erased.

        A row's own registration decides: a newborn's stay is not its mother's, though it refers to
        her visit.

        Args:
            columns: the columns by name; one that an older file lacks may be absent.
            is_erased: knows the erased keys.
        """
        rows = len(next(iter(columns.values())))
        owned, is_named = np.zeros(rows, dtype=np.bool_), np.zeros(rows, dtype=np.bool_)
        for column in self.persons:
            if column.name in columns:
                values = columns[column.name]
                owned |= is_erased(column.key_domain or "", values)
                is_named |= values.is_valid().to_numpy(zero_copy_only=False)
        referring = np.zeros(rows, dtype=np.bool_)
        for mask in self.referring(columns, is_erased).values():
            referring |= mask
        result: Mask = owned | (referring & ~is_named)
        return result

    def referring(self, columns: Mapping[str, pa.Array], is_erased: IsErased) -> dict[str, Mask]:
        """Return per reference which rows name a row of somebody who is erased."""
        found = {
            column.name: is_erased(column.key_domain or "", columns[column.name])
            for column in self.references
            if column.name in columns
        }
        return {name: mask for name, mask in found.items() if mask.any()}


def belongings(tables: Iterable[TableContract]) -> dict[Place, Belonging]:
    """Return, for each table that holds rows of persons, how they are found; parents first.

    Args:
        tables: every declared operational table.

    Raises:
        ContractError: a table's rows cannot be found, nor does it say that it holds no persons.
    """
    declared = list(tables)
    keys = {table.key.key_domain for table in declared}
    for table in declared:
        if table.subject == "organisation" and _belonging(table, set(), keys).persons:
            raise ContractError(
                f"{table.where}: {table.source}.{table.name} is declared as about organisations, "
                "but names a registration: remove subject from its config.meta."
            )
    found: dict[Place, Belonging] = {}
    owners: set[str] = set()
    while True:
        before = len(found)
        for table in declared:
            place = (table.source, table.name)
            if place not in found and table.subject != "organisation":
                belonging = _belonging(table, owners, keys)
                if belonging.persons or belonging.references:
                    found[place] = belonging
                    owners.add(belonging.key_domain)
        if len(found) == before:
            break
    lost = [t for t in declared if t.subject is None and (t.source, t.name) not in found]
    if lost:
        raise ContractError(
            f"{lost[0].where}: nobody can say whose a row of {lost[0].source}.{lost[0].name} is, "
            "so nobody could be erased from it: give it a person_key or the key of a table that "
            "has one, or, if it holds no patients, write subject: organisation into its "
            "config.meta."
        )
    # Only now is every owner known: a table may refer to one that was found after it.
    return {place: _belonging(b.table, owners, keys) for place, b in found.items()}


def parents(found: Iterable[Belonging]) -> frozenset[str]:
    """Return the key domains of rows that other rows of persons refer to."""
    return frozenset(c.key_domain or "" for b in found for c in b.references)


def _belonging(table: TableContract, owners: set[str], keys: set[str | None]) -> Belonging:
    others = [c for c in table.columns if c.privacy == "record_key" and c.name != table.primary_key]
    return Belonging(
        table,
        tuple(c for c in table.columns if c.privacy == "person_key"),
        tuple(c for c in others if c.key_domain in owners),
        tuple(c for c in others if c.key_domain not in keys),
    )
