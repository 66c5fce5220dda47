"""What an installation holds of its snapshots, opened for an erasure: lake, quarantine, vault."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from extract.contract_files import load_contracts
from extract.contracts import ColumnContract, TableContract, operational_contracts
from extract.erasure.belonging import Belonging, Place, belongings
from extract.erasure.state import stamp_of
from extract.identity.epochs import key_of_snapshot
from extract.identity.key_provider import load_provider
from extract.identity.keyring import Keyring
from extract.identity.opening import VERSIONS, open_vault
from extract.identity.token_map import MAPS
from extract.identity.tokens import Tokeniser, load_or_create_key
from extract.identity.version import Version, open_version
from extract.lake import Manifest, read_manifest, snapshot_ids
from extract.zones import QUARANTINE, sweep
from governance.errors import ErasureError
from governance.files import mend_replaced
from governance.settings import PROJECT_ROOT, Settings

MATCHING = "matching"
Inode = tuple[int, int]


@dataclass(frozen=True)
class HeldSnapshot:
    """One snapshot in its three zones; ``version`` is None where the vault has none of it."""

    name: str
    lake: Path
    quarantine: Path
    manifest: Manifest
    key: bytes
    version: Version | None

    @cached_property
    def tokeniser(self) -> Tokeniser:
        """What made the snapshot's tokens."""
        return Tokeniser(self.key, int(self.manifest.token_epoch, 16))

    @cached_property
    def quarantine_head(self) -> str:
        """The last erasure that is applied to the quarantine; of none, that of the lake."""
        is_there = self.quarantine.is_dir()
        return stamp_of(self.quarantine) if is_there else self.manifest.tombstones

    def files(self, belonging: Belonging) -> dict[str, Path]:
        """Return a table's files by their path within the snapshot."""
        prefix = f"{belonging.table.source}/{belonging.table.name}/"
        return {p: self.lake / p for p in self.manifest.files if p.startswith(prefix)}

    def quarantined(self, belonging: Belonging) -> dict[str, Path]:
        """Return a table's quarantine files by their path within the snapshot."""
        folder = self.quarantine / belonging.table.source / belonging.table.name
        return {str(f.relative_to(self.quarantine)): f for f in sorted(folder.glob("*.parquet"))}


@dataclass(frozen=True)
class Held:
    """All that is held, and how its rows belong to persons.

    ``quality`` has the contracts of what a snapshot says of itself.
    """

    settings: Settings
    keyring: Keyring
    tables: dict[Place, Belonging]
    quality: dict[str, TableContract]
    snapshots: tuple[HeldSnapshot, ...]

    def tokenisers(self, snapshot: HeldSnapshot) -> tuple[Tokeniser, ...]:
        """Return what made the tokens of every epoch, a snapshot's own first."""
        own = (snapshot.key, snapshot.manifest.token_epoch)
        others = {(s.key, s.manifest.token_epoch): s for s in self.snapshots}
        others.pop(own)
        return (snapshot.tokeniser, *(s.tokeniser for s in others.values()))

    @property
    def token_maps(self) -> list[Path]:
        """The maps from the tokens of one epoch to those of the next."""
        return sorted((self.settings.restricted / MAPS).glob("*.parquet"))

    @property
    def review_files(self) -> list[Path]:
        """What patient matching keeps for its reviewers."""
        return sorted((self.settings.restricted / MATCHING).rglob("*.csv"))

    def registrations(self, source: str) -> list[TableContract]:
        """Return a source's tables of registrations."""
        return [
            b.table
            for b in self.tables.values()
            if b.table.source == source and b.table.is_registration
        ]


@contextmanager
def open_zones(settings: Settings) -> Iterator[Held]:
    """Open what an installation holds, to amend it; the caller has locked the zones.

    Raises:
        KeyFileError: a token key is missing.
        And what ``open_held`` raises.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    for parent in (settings.lake, settings.vault / VERSIONS, settings.restricted / QUARANTINE):
        mend_replaced(parent)
    sweep(settings)
    load_or_create_key(settings.vault, allow_create=False)
    keyring = open_vault(settings.vault, load_provider(settings))
    try:
        yield open_held(settings, keyring)
    finally:
        sweep(settings)


def open_held(settings: Settings, keyring: Keyring) -> Held:
    """Open every snapshot of an installation.

    Raises:
        ContractError: nobody can say whose the rows of a declared table are.
        ErasureError: a snapshot has a table that no contract declares.
        KeyFileError: a token key is missing.
        SnapshotError: a manifest is not as it was signed.
        VaultError: a version's record is not as it was signed.
    """
    every = load_contracts(PROJECT_ROOT)
    contracts = operational_contracts(every)
    declared = [table for source in contracts.values() for table in source.tables.values()]
    tables = belongings(declared)
    known = {(table.source, table.name) for table in declared}
    snapshots = tuple(_open(settings, keyring, name) for name in snapshot_ids(settings.lake))
    for snapshot in snapshots:
        _refuse_strangers(snapshot, known, tables)
    return Held(settings, keyring, tables, every["quality"].tables, snapshots)


def _open(settings: Settings, keyring: Keyring, name: str) -> HeldSnapshot:
    directory = settings.lake / name
    key = key_of_snapshot(settings.vault, directory)
    version = settings.vault / VERSIONS / name
    return HeldSnapshot(
        name=name,
        lake=directory,
        quarantine=settings.restricted / QUARANTINE / name,
        manifest=read_manifest(directory, key),
        key=key,
        version=open_version(version, keyring) if version.is_dir() else None,
    )


def _refuse_strangers(
    snapshot: HeldSnapshot, known: set[Place], tables: Mapping[Place, Belonging]
) -> None:
    for source, names in snapshot.manifest.tables.items():
        for name in names:
            if source == "reference" or (source, name) in known:
                continue
            raise ErasureError(
                f"The snapshot {snapshot.name} has the table {source}.{name}, which no contract "
                "declares, so that nobody can say whose its rows are: declare it again, or remove "
                "the snapshot with `scutari retain`."
            )
    for belonging in tables.values():
        for path, file in snapshot.files(belonging).items():
            found = set(pq.read_schema(file).names)
            if not found & {c.name for c in (*belonging.persons, *belonging.references)}:
                raise ErasureError(
                    f"The file {path} of the snapshot {snapshot.name} has no column that says "
                    "whose its rows are: remove the snapshot with `scutari retain`."
                )


def inode_of(file: Path) -> Inode:
    """Return what all links of a file share."""
    status = file.stat()
    return status.st_dev, status.st_ino


def key_columns(file: Path, belonging: Belonging) -> dict[str, pa.Array]:
    """Read the columns of a lake file that say whose its rows are."""
    names = set(pq.read_schema(file).names)
    wanted = [c.name for c in belonging.columns if c.name in names]
    table = pq.read_table(file, columns=wanted)
    return {name: one_array(table.column(name)) for name in wanted}


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one piece."""
    combined = column.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)


@dataclass(frozen=True)
class QuarantinedRow:
    """One row of a quarantine file, with the tokens that its keys would have had.

    ``row`` is what the database held, where the whole row is in quarantine; ``keys`` has the tokens
    of its columns by name, once for each epoch that is held, the snapshot's own first. Otherwise
    ``keys`` has the primary key alone.
    """

    number: int
    column: str
    reason: str
    is_row_dropped: bool
    source_key: str | None
    row: dict[str, str | None] | None
    keys: tuple[dict[str, str | None], ...]


def quarantined_rows(
    table: pa.Table, belonging: Belonging, tokenisers: Sequence[Tokeniser]
) -> Iterator[QuarantinedRow]:
    """Yield the rows of a quarantine file.

    Args:
        table: the file.
        belonging: how its rows belong to persons.
        tokenisers: of every epoch, the snapshot's own first: a row can refer to one that only a
            snapshot of an earlier epoch has.
    """
    key = belonging.table.key
    for number, item in enumerate(table.to_pylist()):
        row: dict[str, Any] | None = json.loads(item["raw_row"]) if item["raw_row"] else None
        columns = (key,) if row is None else belonging.columns
        raw = {key.name: item["source_key"]} if row is None else row
        yield QuarantinedRow(
            number=number,
            column=item["column_name"],
            reason=item["reason_code"],
            is_row_dropped=item["is_row_dropped"],
            source_key=item["source_key"],
            row=row,
            keys=tuple(
                {c.name: token_of(tokeniser, c, raw.get(c.name)) for c in columns}
                for tokeniser in tokenisers
            ),
        )


def token_of(tokeniser: Tokeniser, column: ColumnContract, raw: str | None) -> str | None:
    """Return the token of a key written as text; a misfit as None.

    What has no token, or is one already, stays as it is.
    """
    if raw is None or not column.is_key or column.is_token:
        return raw
    value = typed_key(column, raw)
    return None if value is None else tokeniser.tokenise_one(value, column.key_domain or "")


def typed_key(column: ColumnContract, raw: str) -> int | str | None:
    """Return a key as its database has it, from its text; None where it is no number."""
    if column.source_type == "string":
        return raw
    try:
        return int(raw)
    except ValueError:
        return None
