"""From a token to the hospital's record: the lake says whose it is, the vault what it is called.

There is no second copy of any identifier. The lake knows which registration a visit belongs to and
at which hospital; the vault knows the record number of a registration. Nothing is searched: only
tokens lead in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from extract.contract_files import load_contracts
from extract.contracts import ColumnContract, TableContract
from extract.identity.key_provider import KeyProvider
from extract.identity.keyring import read_keyring
from extract.identity.opening import VERSIONS
from extract.identity.version import Version, open_version
from extract.lake import current_directory, read_manifest
from governance.errors import BrokerError
from governance.settings import PROJECT_ROOT, Settings

SOURCE = "ehr"
REGISTRATIONS, VISITS = "patients", "ed_visits"
VISIT_NUMBER = "visit_number"
# What each role gets to see of a registration, by the part that a column plays (its `identity`).
SEEN_BY = {
    "quality_team": ("mrn",),
    "data_steward": ("mrn", "first_name", "last_name", "birth_date"),
}


@dataclass(frozen=True)
class Place:
    """Where a token's record stands: its registration, and of a visit the partition it is in."""

    token: str
    registration: str
    visit_file: str | None = None


@dataclass(frozen=True)
class Places:
    """The tokens of one request, all of them of one hospital."""

    snapshot_id: str
    found: tuple[Place, ...]

    @property
    def registrations(self) -> set[str]:
        """The registrations asked for."""
        return {place.registration for place in self.found}


@dataclass
class Tables:
    """The contracts of the two tables that a worklist's tokens come from."""

    registrations: TableContract
    visits: TableContract
    seen: dict[str, str] = field(default_factory=dict)

    def hospital(self, table: TableContract) -> str:
        """Return the name of the column that says whose a row is."""
        return _column(table, lambda column: column.code_system == f"{SOURCE}.hospitals")


def contract_tables() -> Tables:
    """Return the contracts of registrations and ED visits.

    Raises:
        BrokerError: the project has no such tables.
    """
    tables = load_contracts(PROJECT_ROOT)[SOURCE].tables
    found = Tables(tables[REGISTRATIONS], tables[VISITS])
    found.seen = {c.identity: c.name for c in found.registrations.vault_columns if c.identity}
    return found


def find_places(settings: Settings, tables: Tables, hospital: str, tokens: Sequence[str]) -> Places:
    """Find the registrations behind tokens; the lake is asked, and the vault stays closed.

    Args:
        settings: the installation.
        tables: the contracts.
        hospital: whose they must be, each of them, and the registration behind a visit too.
        tokens: of ED visits or registrations.

    Raises:
        BrokerError: there is no snapshot, or a token is of another epoch or not this hospital's.
            Which one is not said: the answer must not tell what is known elsewhere.
    """
    directory = current_directory(settings.lake)
    if directory is None:
        raise BrokerError(f"There is no snapshot in {settings.lake}: nothing can be looked up.")
    manifest = read_manifest(directory, None)
    if any(token[0] != manifest.token_epoch for token in tokens):
        raise BrokerError(
            "The worklist holds tokens of another epoch than the current snapshot's: tokens were "
            "made anew since; take the worklist from the newest build."
        )
    visits = {
        row["token"]: Place(row["token"], row["registration"], path)
        for path, row in _rows(
            directory,
            tables.visits,
            tables.visits.key.name,
            tokens,
            {
                "token": tables.visits.key.name,
                "hospital": tables.hospital(tables.visits),
                "registration": _column(tables.visits, lambda c: c.privacy == "person_key"),
            },
        )
        if row["hospital"] == hospital and row["registration"] is not None
    }
    key = tables.registrations.key.name
    asked = {*tokens, *(place.registration for place in visits.values())}
    columns = {"token": key, "hospital": tables.hospital(tables.registrations)}
    own = {
        row["token"]
        for _, row in _rows(directory, tables.registrations, key, sorted(asked), columns)
        if row["hospital"] == hospital
    }
    places = {token: Place(token, token) for token in tokens if token in own}
    places |= {token: place for token, place in visits.items() if place.registration in own}
    missing = len(set(tokens) - set(places))
    if missing:
        raise BrokerError(
            f"{missing} of the {len(set(tokens))} tokens are no ED visit or registration of "
            f"hospital {hospital}: the whole worklist is refused; take only its own."
        )
    return Places(manifest.snapshot_id, tuple(places[token] for token in sorted(places)))


def read_records(
    settings: Settings, tables: Tables, places: Places, role: str, keys: KeyProvider
) -> pa.Table:
    """Open the vault and return one row for each token, with what the role may see.

    Raises:
        BrokerError: the vault no longer holds one of the records.
        KeyFileError: the broker has no key to the vault, or an old one.
        VaultError: a file of the vault is not as it was written.
    """
    keyring = read_keyring(settings.vault, keys)
    version = open_version(settings.vault / VERSIONS / places.snapshot_id, keyring)
    seen = {part: tables.seen[part] for part in SEEN_BY[role] if part in tables.seen}
    folder = version.places(SOURCE, REGISTRATIONS)
    registrations = _vault_rows(version, folder, places.registrations, list(seen.values()))
    visits = {place.token for place in places.found if place.visit_file}
    files = sorted({place.visit_file for place in places.found if place.visit_file})
    files = [path for path in files if path in version.files]
    numbers = _vault_rows(version, files, visits, [VISIT_NUMBER])
    rows = []
    for place in places.found:
        known = registrations.get(place.registration)
        if known is None:
            raise BrokerError(
                "The vault no longer holds one of the records (it may have been erased): take the "
                "worklist from the newest build and ask again."
            )
        row: dict[str, object] = {"token": place.token}
        row |= {"record_number" if part == "mrn" else part: known[c] for part, c in seen.items()}
        rows.append(row | {VISIT_NUMBER: numbers.get(place.token, {}).get(VISIT_NUMBER)})
    return pa.Table.from_pylist(rows)


def _rows(
    directory: Path,
    table: TableContract,
    key: str,
    tokens: Sequence[str],
    columns: dict[str, str],
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield a table's rows of these keys, each with its file's path within the snapshot."""
    wanted = pa.array(tokens, pa.string())
    for file in sorted((directory / table.source / table.name).glob("*.parquet")):
        with pq.ParquetFile(file) as reader:
            for batch in reader.iter_batches(columns=list(columns.values())):
                hits = batch.filter(pc.is_in(batch.column(key), value_set=wanted))
                for row in hits.to_pylist():
                    yield (
                        str(file.relative_to(directory)),
                        {name: row[column] for name, column in columns.items()},
                    )


def _vault_rows(
    version: Version, paths: Sequence[str], tokens: set[str], columns: list[str]
) -> dict[str, dict[str, object]]:
    wanted = pa.array(sorted(tokens), pa.string())
    found: dict[str, dict[str, object]] = {}
    for path in paths:
        for batch in version.batches(path, ["token", *columns]):
            hits = batch.filter(pc.is_in(batch.column("token"), value_set=wanted))
            found.update({row["token"]: row for row in hits.to_pylist()})
    return found


def _column(table: TableContract, plays: Callable[[ColumnContract], bool]) -> str:
    names = [column.name for column in table.columns if plays(column)]
    if not names:
        raise BrokerError(f"The contract at {table.where} lacks a column that a lookup needs.")
    return names[0]
