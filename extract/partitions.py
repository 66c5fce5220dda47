"""Writing one partition: lake file, vault file and quarantine file, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

from extract.contracts import TableContract
from extract.convert import Converter, Tally
from extract.identity.tokens import token_order
from extract.lake import LakeFile, sha256_of
from extract.sources.base import RawBatch
from governance.errors import SourceError
from governance.files import sync

ROW_GROUP_ROWS = 122_880
# The default, 3, makes files of tokens and instants one part in two hundred smaller.
COMPRESSION_LEVEL = 1
# Enough for thousands of codes; what has more values is written plain from there on.
DICTIONARY_BYTES = 64 << 10


class ParquetFile:
    """A Parquet file that is made at its first batch and synced at its end."""

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        *,
        key: str | None = None,
        encryption: pe.FileEncryptionProperties | None = None,
    ) -> None:
        self.path = path
        self.rows = 0
        self._schema = schema
        self._key = key
        self._encryption = encryption
        # A dictionary of what differs from row to row would only cost. Every column that may be
        # null needs one: where all values of a row group without dictionary are one text, DuckDB
        # 2.0.0 finds every row of it to be null.
        self._dictionary = [
            field.name for field in schema if pa.types.is_string(field.type) and field.name != key
        ]
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows; they are written once they fill a row group."""
        if self._key is not None:
            # In the order of the tokens: the source's would number the records through.
            batch = batch.take(pa.array(token_order(batch.column(self._key))))
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        self.rows += batch.num_rows
        if self._waiting_rows >= ROW_GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """Write what waits and sync the file; one without rows gets its schema alone."""
        self._flush()
        writer = self._open()
        writer.close()
        sync(self.path)

    def discard(self) -> None:
        """Let the file's handle go; what was written lies in a temporary directory."""
        if self._writer is not None:
            self._writer.close()

    def _open(self) -> pq.ParquetWriter:
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(
                self.path,
                self._schema,
                compression="zstd",
                compression_level=COMPRESSION_LEVEL,
                use_dictionary=self._dictionary,
                dictionary_pagesize_limit=DICTIONARY_BYTES,
                store_schema=False,
                encryption_properties=self._encryption,
            )
        return self._writer

    def _flush(self) -> None:
        if self._waiting_rows:
            table = pa.Table.from_batches(self._waiting, self._schema)
            self._open().write_table(table, row_group_size=ROW_GROUP_ROWS)
        self._waiting, self._waiting_rows = [], 0


def write_partition(
    table: TableContract,
    converter: Converter,
    batches: Iterable[RawBatch],
    *,
    lake: Path,
    vault: Path,
    vault_encryption: pe.FileEncryptionProperties,
    quarantine: Path,
) -> Tally:
    """Convert a partition's batches and write each zone's file.

    Args:
        table: the contract.
        converter: the table's converter.
        batches: the rows as the database holds them.
        lake: the lake file; always made.
        vault: the vault file; made where the table has identifiers.
        vault_encryption: the vault file's key.
        quarantine: the quarantine file; made where a value did not fit.

    Raises:
        SourceError: a batch is not what a source may give.
    """
    tally = Tally()
    files = {"lake": ParquetFile(lake, table.lake_schema, key=table.primary_key)}
    try:
        for raw in batches:
            converted = converter.convert(raw, tally)
            files["lake"].write(converted.lake)
            _write_other(files, "vault", vault, converted.vault, vault_encryption)
            _write_other(files, "quarantine", quarantine, converted.quarantine)
        for file in files.values():
            file.close()
    except pa.ArrowException as error:
        # Its text can hold a value.
        raise SourceError(
            f"Source {table.source}: rows of table {table.name} could not be converted "
            f"({type(error).__name__}); the contract is at {table.where}."
        ) from None
    finally:
        for file in files.values():
            file.discard()
    return tally


def write_table(path: Path, table: pa.Table) -> None:
    """Write a small table whole, and sync it."""
    file = ParquetFile(path, table.schema)
    for batch in table.to_batches():
        file.write(batch)
    file.close()


def describe_file(path: Path) -> LakeFile:
    """Return a written file's size, rows and digest."""
    return LakeFile(path.stat().st_size, pq.read_metadata(path).num_rows, sha256_of(path))


def link_file(source: Path, target: Path) -> None:
    """Give a file of the previous snapshot a second name in this one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(source, target)


def _write_other(
    files: dict[str, ParquetFile],
    name: str,
    path: Path,
    batch: pa.RecordBatch | None,
    encryption: pe.FileEncryptionProperties | None = None,
) -> None:
    if batch is None:
        return
    if name not in files:
        files[name] = ParquetFile(path, batch.schema, encryption=encryption)
    files[name].write(batch)
