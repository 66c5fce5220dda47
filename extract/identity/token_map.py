"""From the tokens of one epoch to those of the next.

While a snapshot makes every token anew, each old token is written down beside its new one, in
``restricted/token_maps/<snapshot id>.parquet`` (``key_domain``, ``old_token``, ``new_token``). With
it a worklist or an audit row of before is still understood. It says nothing of any record, but it
undoes the rotation for whoever has it: the restricted zone holds it, mode 600.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from extract.contracts import SourceContract, TableContract
from extract.identity.epochs import TokenKey, TokenKeys
from extract.identity.tokens import Tokeniser
from extract.identity.version import Version
from extract.partitions import ParquetFile

MAPS = "token_maps"
MEMORY_LIMIT = "1GB"
_SCHEMA = pa.schema(
    [("key_domain", pa.string()), ("old_token", pa.string()), ("new_token", pa.string())]
)


class Retokeniser(Tokeniser):
    """Makes the new tokens and writes the old ones down beside them.

    Args:
        now: the key of the new tokens.
        before: the key of the old ones.
        tables: every declared table, read by this snapshot or not.
        spill: where the pairs wait; in the restricted zone.
    """

    def __init__(
        self, now: TokenKey, before: TokenKey, tables: list[TableContract], spill: Path
    ) -> None:
        super().__init__(now.secret, now.epoch)
        self._now, self._before = now, before.tokeniser()
        self._tables = tables
        self._lock = threading.Lock()
        spill.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._spill = spill
        self._parts: list[Path] = []
        self._is_version_noted = False
        self._pairs = self._next_part()

    def tokenise(self, values: pa.Array, domain: str) -> pa.Array:
        """Return the new tokens."""
        new = super().tokenise(values, domain)
        self._note(self._before.tokenise(values, domain), new, domain)
        return new

    def crosswalk(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return rows of the last crosswalk with the tokens of now; persons stay."""
        tokens = batch.column("registration_key")
        for table in self._tables:
            if table.is_registration:
                is_of_source = pc.equal(batch.column("source_name"), table.source)
                ids = batch.column("registration_id")
                ids = pc.if_else(is_of_source, ids, pa.scalar(None, ids.type))
                tokens = self._renewed(ids, tokens, table)
        place = batch.schema.get_field_index("registration_key")
        return batch.set_column(place, batch.schema.field(place), tokens)

    def pairs_so_far(self, version: Version | None) -> list[Path]:
        """Return the files of all pairs that are known by now, some of them twice.

        Args:
            version: the last version of the vault, which knows records that the source forgot.
        """
        if version is not None and not self._is_version_noted:
            self._note_version(version)
            self._is_version_noted = True
        with self._lock:
            self._pairs.close()
            self._pairs = self._next_part()
            return self._parts[:-1]

    def write(self, path: Path, version: Version | None, last: Path | None) -> str:
        """Write the map, each pair once.

        Args:
            path: the map.
            version: the last version of the vault, which knows records that the source forgot.
            last: the last snapshot.

        Returns:
            How many old tokens have a new one, and how many of the last snapshot's have none.
        """
        parts = self.pairs_so_far(version)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with self._connection() as connection:
            rows = connection.sql(
                "select distinct key_domain, old_token, new_token from "
                f"read_parquet([{', '.join(map(_quoted, parts))}]) "
                "order by old_token, key_domain"
            ).to_arrow_reader()
            file = ParquetFile(path, _SCHEMA)
            for batch in rows:
                file.write(batch.cast(_SCHEMA))
            file.close()
        for part in parts:
            part.unlink()
        gone = self._missing(path, last) if last is not None else 0
        return (
            f"tokens: epoch {self._now.name}, {file.rows:,} old tokens have a new one; {gone:,} of "
            "the last snapshot have none, their records are gone from the source"
        )

    def _next_part(self) -> ParquetFile:
        path = self._spill / f"token_pairs_{len(self._parts)}.parquet"
        self._parts.append(path)
        return ParquetFile(path, _SCHEMA)

    def _note_version(self, version: Version) -> None:
        for table in self._tables:
            if table.vault_columns and table.key.is_key:
                for path in version.places(table.source, table.name):
                    for batch in version.batches(path, ["source_key", "token"]):
                        self._renewed(batch.column("source_key"), batch.column("token"), table)

    def _renewed(self, source_keys: pa.Array, tokens: pa.Array, table: TableContract) -> pa.Array:
        """Return the new tokens of a table's keys; where an old one is not the key's, as it is."""
        domain = table.key.key_domain or ""
        values = _typed(source_keys, table)
        is_known = pc.fill_null(pc.equal(self._before.tokenise(values, domain), tokens), False)
        known = pc.if_else(is_known, values, pa.scalar(None, values.type))
        return pc.if_else(is_known, self.tokenise(known, domain), tokens)

    def _missing(self, path: Path, last: Path) -> int:
        """Count the tokens of the last snapshot that the map does not have."""
        selects = []
        for table in self._tables:
            folder = last / table.source / table.name
            if any(folder.glob("*.parquet")):
                selects += [
                    f"select '{column.key_domain}' as key_domain, \"{column.name}\" as old_token "
                    f"from read_parquet({_quoted(folder / '*.parquet')}) "
                    f'where "{column.name}" is not null'
                    for column in table.lake_columns
                    if column.is_key
                ]
        if not selects:
            return 0
        tokens = f"select distinct * from ({' union all '.join(selects)})"
        with self._connection() as connection:
            row = connection.execute(
                f"select count(*) from ({tokens}) "
                f"anti join read_parquet({_quoted(path)}) using (key_domain, old_token)"
            ).fetchall()[0]
        return int(row[0])

    def _note(self, old: pa.Array, new: pa.Array, domain: str) -> None:
        pairs = pa.table({"old_token": old, "new_token": new}).filter(pc.is_valid(old))
        pairs = pairs.group_by(["old_token", "new_token"]).aggregate([]).combine_chunks()
        domains = pa.repeat(pa.scalar(domain, pa.string()), pairs.num_rows)
        pairs = pairs.add_column(0, "key_domain", domains).cast(_SCHEMA)
        with self._lock:
            for batch in pairs.to_batches():
                self._pairs.write(batch)

    def _connection(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(":memory:")
        connection.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
        connection.execute("set temp_directory = $1", [str(self._spill)])
        return connection


def retokeniser(
    keys: TokenKeys, sources: Iterable[SourceContract], spill: Path
) -> Retokeniser | None:
    """Return what makes new tokens of old ones, where a new epoch begins."""
    if keys.before is None:
        return None
    tables = [table for source in sources for table in source.tables.values()]
    return Retokeniser(keys.now, keys.before, tables, spill)


def _typed(source_keys: pa.Array, table: TableContract) -> pa.Array:
    """Return keys as their database has them: a number's digits are numbers again."""
    if table.key.source_type not in ("int", "bigint"):
        return source_keys
    try:
        return _numbers(source_keys, digits=19)
    except pa.ArrowInvalid:  # another table's text, all digits and no number of the database
        return _numbers(source_keys, digits=18)


def _numbers(texts: pa.Array, digits: int) -> pa.Array:
    is_number = pc.match_substring_regex(texts, f"^-?[0-9]{{1,{digits}}}$")
    return pc.if_else(is_number, texts, pa.scalar(None, pa.string())).cast(pa.int64())


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
