"""Tables of operational databases whose keys other columns hold, as codes or as tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

import pyarrow as pa

from extract.contracts import SourceContract, TableContract
from extract.sources.base import Source
from governance.errors import ContractError, SettingsError
from governance.settings import SETTINGS_FILE, Settings


def code_tables(tables: Iterable[TableContract]) -> set[tuple[str, str]]:
    """Return source and table of every table whose keys are codes of a column of ``tables``."""
    return {c.code_table for table in tables for c in table.columns if c.code_table}


def in_order(
    settings: Settings, sources: Mapping[str, SourceContract]
) -> list[tuple[str, SourceContract]]:
    """Return the sources, those first whose codes, or tokens of whose records, others hold.

    Raises:
        ContractError: two sources hold codes of each other's tables.
        SettingsError: a source that holds codes is not named.
    """
    needs = {name: _needed(contract) - {name} for name, contract in sources.items()}
    missing = sorted(set().union(*needs.values()) - set(sources))
    if missing:
        raise SettingsError(
            f"{settings.home / SETTINGS_FILE} does not name the source {missing[0]}, "
            "whose tables hold codes or records that columns of the other sources are held to: "
            "name it."
        )
    try:
        order = [*TopologicalSorter(needs).static_order()]
    except CycleError as error:
        raise ContractError(
            f"The sources {' and '.join(sorted(set(error.args[1])))} hold codes of each "
            "other's tables: none of them can be read first. Give one a code_pattern."
        ) from None
    return [(name, sources[name]) for name in order]


def _needed(contract: SourceContract) -> set[str]:
    columns = [column for table in contract.tables.values() for column in table.columns]
    # A key domain begins with the name of its source.
    owners = {(c.key_domain or "").partition(".")[0] for c in columns if c.is_token}
    return owners | {source for source, _ in code_tables(contract.tables.values())}


def table_codes(source: Source, table: TableContract) -> pa.Array:
    """Return the primary keys of a table whose rows are the codes of other columns.

    Args:
        source: the open database.
        table: the contract of a small table, such as that of hospitals.
    """
    place = [column.name for column in table.read_columns].index(table.primary_key)
    found: set[str] = set()
    for part in source.profile(table).partitions:
        for batch in source.read(table, part.period):
            found.update(filter(None, batch.rows.column(place).cast(pa.string()).to_pylist()))
    pattern = re.compile(table.key.code_pattern or ".*")
    return pa.array(sorted(filter(pattern.fullmatch, found)), pa.string())
