"""The vault: identifiers, and which registrations are one person.

``vault/versions/<snapshot_id>/`` holds the identifiers of every registration as the snapshot saw
them (``<source>/<table>/<period>.parquet``) and the crosswalk (``crosswalk.parquet``); ``current``
names the version in force. All of it is encrypted (``version.py``) and decrypted in memory alone,
a batch at a time. Person ids are random and never derived from a person's data. The
crosswalk also keeps registrations that are gone from the source: should one come back, its person
is known.

Which registrations are one person is decided in ``matching/``; an unidentified patient is nobody
that can be linked. When a correction or a decision joins two persons, the older id stays; when it
parts them, the registration with the least key keeps it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from extract.contracts import TableContract
from extract.identity.keyring import Keyring
from extract.identity.matching.decisions import Standing
from extract.identity.matching.grouping import group_registrations
from extract.identity.matching.standard import RAW_COLUMNS, load_batch, read_columns
from extract.identity.version import BATCH_ROWS, NewVersion, Version, open_version
from extract.lake import current_directory
from extract.partitions import ParquetFile
from governance.errors import VaultError
from governance.settings import MatchingMethod, Settings

CROSSWALK = "crosswalk.parquet"
CURRENT = "current"
PERSON_KEY_BYTES = 10
MEMORY_LIMIT = "1GB"

# Each id stays with one group, and each group keeps the oldest id that stayed with it.
_KEPT = """
    create temp table kept as
    with claimed as (
        select g.group_key, c.person_key, c.person_since
        from grouped as g
        inner join previous as c using (source_name, registration_key)
        where g.group_key is not null and c.person_key is not null
        qualify row_number() over (
            partition by c.person_key order by g.source_name, g.registration_key
        ) = 1
    )
    select * from claimed
    qualify row_number() over (
        partition by group_key order by person_since, person_key
    ) = 1
"""
_CROSSWALK = """
    create temp table crosswalk as
    with fresh as (
        select group_key, row_number() over () - 1 as number
        from (select distinct group_key from grouped where group_key is not null)
        where group_key not in (select group_key from kept)
    ), persons as (
        select group_key, person_key, person_since from kept
        union all
        select f.group_key, n.person_key, $snapshot_id from fresh as f
        inner join new_ids as n using (number)
    )
    select
        g.source_name, g.registration_id, g.registration_key,
        p.person_key, p.person_since, g.link_method_code
    from grouped as g
    left join persons as p using (group_key)
    union all by name
    select * from previous
    anti join grouped using (source_name, registration_id)
"""
_CROSSWALK_COLUMNS = (
    "source_name varchar, registration_id varchar, registration_key varchar, "
    "person_key varchar, person_since varchar, link_method_code varchar"
)


NOTHING_DECIDED = Standing()
Renewed = Callable[[pa.RecordBatch], pa.RecordBatch]


@dataclass(frozen=True)
class Linked:
    """How many registrations were looked at, how many persons they are, and what is uncertain."""

    registrations: int
    persons: int
    unlinkable: int
    to_review: int = 0

    def __str__(self) -> str:
        return (
            f"{self.registrations:,} registrations are {self.persons:,} persons, "
            f"{self.unlinkable:,} cannot be linked, {self.to_review:,} pairs are to be reviewed"
        )


def current_version(vault: Path) -> Path | None:
    """Return the version in force, or None before the first."""
    link = vault / CURRENT
    return link.resolve() if link.is_symlink() and link.exists() else None


def version_to_go_on_from(settings: Settings, keyring: Keyring) -> Version | None:
    """Open the version whose person ids the next one keeps; None before the first.

    Raises:
        VaultError: it is missing, older than the lake's snapshot, or not as it was written.
    """
    directory = current_version(settings.vault)
    # The vault's link is switched before the lake's: it is never behind.
    lake = current_directory(settings.lake)
    if lake is not None and (directory is None or directory.name < lake.name):
        found = f"is that of {directory.name}" if directory else "is missing"
        raise VaultError(
            f"The version in force {settings.vault / CURRENT} {found}, though the lake is at "
            f"{lake.name}, and persons would get other ids: restore the vault from its backup of "
            "that snapshot."
        )
    return open_version(directory, keyring) if directory is not None else None


def link_registrations(
    version: NewVersion,
    tables: Iterable[TableContract],
    previous: Version | None,
    *,
    snapshot_id: str,
    person_map: Path,
    spill: Path,
    review: Path,
    method: MatchingMethod = "probabilistic",
    standing: Standing = NOTHING_DECIDED,
    renewed: Renewed | None = None,
) -> Linked:
    """Decide who is who and write the crosswalk and the snapshot's person map.

    Args:
        version: the version being written; its identifier files are there already.
        tables: the contracts of all registration tables that were read.
        previous: the version before, whose person ids go on.
        snapshot_id: becomes the birthday of new person ids.
        person_map: where the map without any identifier goes.
        spill: where intermediates go that do not fit in memory; in the restricted zone.
        review: directory of the review list; in the restricted zone.
        method: by probability, or by health number and birth date alone.
        standing: the steward's decisions in force.
        renewed: gives rows of the previous crosswalk the tokens of a new epoch.

    Raises:
        VaultError: a file of this version or the crosswalk of the previous one is not the one
            that was written there.
    """
    spill.mkdir(mode=0o700, parents=True, exist_ok=True)
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
        connection.execute("set threads = 2")
        connection.execute("set temp_directory = $1", [str(spill)])
        # A progress bar is drawn on a long night alone, in the middle of what the command says.
        for setting in (
            "autoinstall_known_extensions",
            "autoload_known_extensions",
            "enable_progress_bar",
        ):
            connection.execute(f"set {setting} = false")
        connection.execute(f"create temp table registrations ({RAW_COLUMNS})")
        for table in tables:
            columns = read_columns(table)
            for path in version.places(table.source, table.name):
                for batch in version.batches(path, columns):
                    load_batch(connection, table, batch)
        figures = group_registrations(connection, method=method, standing=standing, review=review)
        _load_previous(connection, previous, renewed)
        connection.execute(_KEPT)
        _make_ids(connection)
        connection.execute(_CROSSWALK, {"snapshot_id": snapshot_id})
        _write_crosswalk(connection, version)
        person_map.parent.mkdir(parents=True, exist_ok=True)
        _copy(
            connection,
            "select source_name, registration_key, person_key, link_method_code from crosswalk "
            "semi join grouped using (source_name, registration_key) order by registration_key",
            person_map,
        )
        row = connection.execute(
            "select count(*), count(distinct person_key), count(*) filter (person_key is null) "
            "from crosswalk semi join grouped using (source_name, registration_key)"
        ).fetchall()[0]
    persons, unlinkable = int(row[1]), int(row[2])
    return Linked(int(row[0]), persons, unlinkable, figures.to_review)


def _load_previous(
    connection: duckdb.DuckDBPyConnection,
    previous: Version | None,
    renewed: Renewed | None,
) -> None:
    connection.execute(f"create temp table previous ({_CROSSWALK_COLUMNS})")
    if previous is None:
        return
    try:
        for batch in previous.batches(CROSSWALK):
            insert = "insert into previous by name select * from batch"
            _insert(connection, renewed(batch) if renewed else batch, insert)
    except VaultError as error:
        raise VaultError(
            f"The crosswalk {previous.directory / CROSSWALK} is not the one that was written there "
            f"({error.fault}), and without it every person would get another id: restore the vault "
            "from its backup."
        ) from None


def _insert(connection: duckdb.DuckDBPyConnection, batch: pa.RecordBatch, statement: str) -> None:
    connection.register("batch", batch)
    connection.execute(statement)
    connection.unregister("batch")


def _write_crosswalk(connection: duckdb.DuckDBPyConnection, version: NewVersion) -> None:
    rows: pa.RecordBatchReader = connection.sql(
        "select * from crosswalk order by source_name, registration_key"
    ).to_arrow_reader(BATCH_ROWS)
    seal = version.begin(CROSSWALK)
    file = ParquetFile(version.directory / CROSSWALK, rows.schema, encryption=seal.properties)
    try:
        for batch in rows:
            file.write(batch)
        file.close()
    finally:
        file.discard()
    version.finish(seal)


def _make_ids(connection: duckdb.DuckDBPyConnection) -> None:
    """Draw as many random ids as there can be new persons, from the system's generator."""
    row = connection.execute(
        "select count(distinct group_key) from grouped "
        "where group_key is not null and group_key not in (select group_key from kept)"
    ).fetchall()[0]
    count = int(row[0])
    digits = os.urandom(count * PERSON_KEY_BYTES).hex()
    width = 2 * PERSON_KEY_BYTES
    offsets = pa.array(np.arange(0, count * width + 1, width, dtype=np.int32))
    ids = pa.StringArray.from_buffers(count, offsets.buffers()[1], pa.py_buffer(digits.encode()))
    new_ids = pa.table({"number": np.arange(count), "person_key": ids})
    connection.register("new_ids", new_ids)


def _copy(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    connection.execute(
        f"copy ({query}) to '{str(path).replace(chr(39), chr(39) * 2)}' "
        "(format parquet, compression zstd)"
    )
