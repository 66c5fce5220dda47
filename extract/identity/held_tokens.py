"""Sources that hold tokens of ours: read as if they held those of the epoch now.

A chart review names its case by the token that the case had when it was opened. After a rotation
that token is an old one; the maps in the restricted zone say what it is called now. A token that no
map knows stays as it is: the row is kept, and names nothing that the lake has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa

from extract.contracts import SourceContract, TableContract
from extract.identity.token_map import MAPS, MEMORY_LIMIT, Retokeniser
from extract.identity.version import Version
from extract.sources.base import RawBatch, Source, TableProfile
from governance.settings import Settings


@dataclass(frozen=True)
class TokenMaps:
    """Every map from the tokens of one epoch to those of the next, the oldest first.

    Attributes:
        paths: the maps; rows of one are pairs of key domain, old and new token.
        spill: where a join may spill to; in the restricted zone.
    """

    paths: Sequence[Path]
    spill: Path

    def renewed(self, tokens: pa.Array, domain: str) -> pa.Array:
        """Return what tokens of a domain are called now; one that no map knows, as it is."""
        for path in self.paths:
            tokens = self._through(path, tokens, domain)
        return tokens

    def _through(self, path: Path, tokens: pa.Array, domain: str) -> pa.Array:
        rows = pa.table({"place": pa.array(range(len(tokens)), pa.int64()), "token": tokens})
        with duckdb.connect(":memory:") as connection:
            connection.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
            connection.execute("set temp_directory = $1", [str(self.spill)])
            connection.register("rows", rows)
            found = connection.sql(
                "select coalesce(pairs.new_token, rows.token) as token from rows left join ("
                "select distinct old_token, new_token from read_parquet($path) "
                "where key_domain = $domain and old_token in (select token from rows)"
                ") as pairs on pairs.old_token = rows.token order by rows.place",
                params={"path": str(path), "domain": domain},
            ).to_arrow_table()
        column = found.column("token").cast(pa.string()).combine_chunks()
        return column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)


def token_maps(
    settings: Settings, retokeniser: Retokeniser | None, version: Version | None
) -> TokenMaps:
    """Return the maps of all epochs; while one begins, with what is known of it by now.

    Args:
        settings: the installation.
        retokeniser: what makes new tokens of old ones, where this snapshot begins an epoch.
        version: the last version of the vault.
    """
    paths = sorted((settings.restricted / MAPS).glob("*.parquet"))
    if retokeniser is not None:
        paths += retokeniser.pairs_so_far(version)
    spill = settings.restricted / "spill" / "extract"
    spill.mkdir(mode=0o700, parents=True, exist_ok=True)
    return TokenMaps(tuple(paths), spill)


def holds_tokens(contract: SourceContract) -> bool:
    """Whether a source holds tokens of ours."""
    return any(c.is_token for table in contract.tables.values() for c in table.columns)


class HeldTokens:
    """A source whose tokens are given as those of now; all else about it stays.

    Args:
        source: the source, open.
        maps: what old tokens are called now.
    """

    def __init__(self, source: Source, maps: TokenMaps) -> None:
        self.name = source.name
        self.parallelism = source.parallelism
        self._source, self._maps = source, maps

    def __enter__(self) -> Self:
        """Return the source, which is open already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the source to whoever opened it."""

    @property
    def taken_at(self) -> datetime:
        """When the database snapshot was opened, UTC."""
        return self._source.taken_at

    def columns(self, table: str) -> dict[str, str]:
        """Return the table's columns and their declared database types."""
        return self._source.columns(table)

    def check_types(self, table: TableContract, found: Mapping[str, str]) -> list[str]:
        """Return the names of declared columns whose database type cannot be the declared one."""
        return self._source.check_types(table, found)

    def profile(self, table: TableContract) -> TableProfile:
        """Count, sum and range every period of a table, in the database."""
        return self._source.profile(table)

    def read(self, table: TableContract, period: str) -> Iterator[RawBatch]:
        """Stream the rows of one period, with the tokens of now."""
        held = [(n, c) for n, c in enumerate(table.read_columns) if c.is_token]
        for batch in self._source.read(table, period):
            rows = batch.rows
            for place, column in held:
                tokens = self._maps.renewed(rows.column(place), column.key_domain or "")
                rows = rows.set_column(place, rows.schema.field(place), tokens)
            yield RawBatch(rows, batch.misfits)
