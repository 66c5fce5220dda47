"""The vault: identifiers, and which registrations are one person.

``vault/versions/<snapshot_id>/`` holds the identifiers of every registration as the snapshot saw
them (``<source>/<table>/<period>.parquet``) and the crosswalk (``crosswalk.parquet``); ``current``
names the version in force. Person ids are random and never derived from a person's data. The
crosswalk also keeps registrations that are gone from the source: should one come back, its person
is known.

Registrations are joined by one rule: the same health number (letters and digits only, upper case)
and the same birth date. Whoever has no health number or no birth date is a person of their own; an
unidentified patient is nobody that can be linked. When a correction joins two persons, the older id
stays; when it parts them, the registration with the least key keeps it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from extract.contracts import TableContract
from extract.lake import sync
from governance.errors import SnapshotError

CROSSWALK = "crosswalk.parquet"
CURRENT = "current"
VERSIONS = "versions"
PERSON_KEY_BYTES = 10
UNIDENTIFIED = "unidentified"
MEMORY_LIMIT = "1GB"

_GROUPED = """
    create temp table grouped as
    with registrations as ({registrations})
    select
        source_name, registration_id, registration_key,
        case
            when is_unidentified then 'unlinkable'
            when health_number <> '' and birth_date is not null then 'health_number'
            else 'alone'
        end as link_method_code,
        case link_method_code
            when 'health_number' then 'h|' || health_number || '|' || birth_date
            when 'alone' then 'r|' || source_name || '|' || registration_key
        end as group_key
    from registrations
"""
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
_PREVIOUS_COLUMNS = (
    "source_name varchar, registration_id varchar, registration_key varchar, "
    "person_key varchar, person_since varchar, link_method_code varchar"
)


@dataclass(frozen=True)
class Linked:
    """How many registrations were looked at, and how many persons they are."""

    registrations: int
    persons: int
    unlinkable: int


def current_version(vault: Path) -> Path | None:
    """Return the version in force, or None before the first."""
    link = vault / CURRENT
    return link.resolve() if link.is_symlink() and link.exists() else None


def link_registrations(
    version: Path,
    tables: Iterable[TableContract],
    previous: Path | None,
    *,
    snapshot_id: str,
    person_map: Path,
    spill: Path,
) -> Linked:
    """Decide who is who and write the crosswalk and the snapshot's person map.

    Args:
        version: the version being written; its identifier files are there already.
        tables: the contracts of all registration tables that were read.
        previous: the version before, whose person ids go on.
        snapshot_id: becomes the birthday of new person ids.
        person_map: where the map without any identifier goes.
        spill: where intermediates go that do not fit in memory; in the restricted zone.

    Raises:
        SnapshotError: the crosswalk of the previous version cannot be read.
    """
    spill.mkdir(mode=0o700, parents=True, exist_ok=True)
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
        connection.execute("set threads = 2")
        connection.execute("set temp_directory = $1", [str(spill)])
        selects = [_registrations(version, table) for table in tables]
        connection.execute(
            _GROUPED.format(registrations=" union all ".join(filter(None, selects)) or _NOBODY)
        )
        _load_previous(connection, previous)
        connection.execute(_KEPT)
        _make_ids(connection)
        connection.execute(_CROSSWALK, {"snapshot_id": snapshot_id})
        crosswalk = version / CROSSWALK
        _copy(
            connection, "select * from crosswalk order by source_name, registration_key", crosswalk
        )
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
    sync(crosswalk)
    return Linked(*row)


_NOBODY = (
    "select '' as source_name, '' as registration_id, '' as registration_key, '' as health_number, "
    "null::date as birth_date, false as is_unidentified where false"
)


def _registrations(version: Path, table: TableContract) -> str:
    folder = version / table.source / table.name
    if not any(folder.glob("*.parquet")):
        return ""
    roles = {c.identity: c.name for c in table.vault_columns if c.identity}
    status = next((c.name for c in table.vault_columns if c.code_system == "identity_status"), None)
    number = f"coalesce(\"{roles['health_number']}\", '')" if "health_number" in roles else "''"
    number = f"upper(regexp_replace({number}, '[^0-9A-Za-z]', '', 'g'))"
    birth = f'"{roles["birth_date"]}"' if "birth_date" in roles else "null::date"
    unidentified = f"coalesce(\"{status}\" = '{UNIDENTIFIED}', false)" if status else "false"
    files = str(folder / "*.parquet").replace("'", "''")
    return (
        f"select '{table.source}' as source_name, source_key as registration_id, "
        f"token as registration_key, {number} as health_number, {birth} as birth_date, "
        f"{unidentified} as is_unidentified from read_parquet('{files}')"
    )


def _load_previous(connection: duckdb.DuckDBPyConnection, previous: Path | None) -> None:
    connection.execute(f"create temp table previous ({_PREVIOUS_COLUMNS})")
    if previous is None:
        return
    path = previous / CROSSWALK
    try:
        connection.execute(
            "insert into previous by name select * from read_parquet($1)", [str(path)]
        )
    except duckdb.Error:
        raise SnapshotError(
            f"The crosswalk {path} cannot be read, and without it every person would get another "
            "id: restore the vault from its backup."
        ) from None


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
