"""Write the research files of a release: whole or not at all, and only through an open gate.

The gate is a dbt model that depends on every table of the release, so that a failing test of any of
them leaves it unbuilt. Files are written only from the very build in which it succeeded. Every key
is replaced by a random number made for this release, in memory, and forgotten with it. The build
has a database of its own that is gone when the files are there, or are not.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from extract.lake import current_directory, sha256_of
from governance.audit.events import about
from governance.audit.log import Action, audited
from governance.errors import PublicationError
from governance.settings import Settings
from ops.release.attacks import Attacked, Attempt, attack, refuse_what_is_found
from ops.release.documents import REPORT, Release, write_documents
from ops.release.files import hold, replace_directory, sync_all
from ops.release.gate import GATE, OpenGate, open_gate, work_directory
from ops.release.ledger import EVERYBODY, Given, ReleaseLedger, check_recipient, now
from ops.release.profiles import Profile, check_agreement, read_profile
from ops.release.report import Loss, Risk, risk_report

BATCH_ROWS = 122_880
MANIFEST = "manifest.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class EmptyReleaseError(PublicationError):
    """There are too few persons for any of them to be released."""


@dataclass(frozen=True)
class Order:
    """What was asked for: name, profile, data use agreement if any, and who is given it."""

    name: str
    profile: Profile
    agreement: str | None
    recipient: str
    is_synthetic: bool


@dataclass(frozen=True)
class ReleaseReport:
    """What was written: the directory and the rows of each table."""

    path: Path
    rows: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        tables = ", ".join(f"{name} {count:,}" for name, count in self.rows.items())
        return f"{self.path}: {tables} rows"


def write_release(
    settings: Settings,
    name: str,
    *,
    profile: str = "open",
    agreement: str | None = None,
    recipient: str = EVERYBODY,
    variables: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] | None = None,
) -> ReleaseReport:
    """Build the research tables and, if their gate opens, write them under ``release/<name>``.

    Args:
        settings: the installation.
        name: name of the release; one that exists already is refused.
        profile: what it holds: open, safe_harbor_fields or limited.
        agreement: the data use agreement of a limited release.
        recipient: code of who is given it; of a limited release not everybody.
        variables: dbt variables for the build.
        progress: told what is being done.

    Raises:
        AuditError: the audit log cannot be written.
        BuildError: there is no snapshot.
        PublicationError: the name is taken, the profile, the agreement or the recipient is not one,
            the gate stays closed, the recipient has a release that it could be joined to, or the
            files cannot be written. Nothing is left of the attempt.
    """
    if not _NAME.fullmatch(name):
        raise PublicationError(
            f"{name!r} cannot name a release: use lowercase letters, digits, - and _."
        )
    order = Order(name, read_profile(profile), agreement, recipient, settings.is_synthetic)
    check_agreement(order.profile, agreement)
    check_recipient(recipient)
    if order.profile.needs_agreement and recipient == EVERYBODY:
        raise PublicationError(
            f"The profile {profile} is for one recipient under an agreement: name it with "
            "--recipient."
        )
    say = progress or (lambda message: None)
    settings.release.mkdir(parents=True, exist_ok=True)
    final = settings.release / name
    with hold(settings.release), _audited(settings, order.profile, variables or {}) as action:
        _check_unused(final)
        with (
            work_directory(settings) as work,
            _attempt(settings.release / f".{name}.tmp", final) as directory,
        ):
            say(f"building the research tables of the profile {profile} and their tests")
            gate = open_gate(settings, order.profile, work, variables or {})
            with _opened(gate) as connection:
                columns = _columns_behind(connection, gate, order.profile)
                persons = _persons(connection)
                if not len(persons):
                    raise EmptyReleaseError(
                        f"The release {name} would hold nobody: in a sample of so few persons too "
                        "few look alike. Nothing was written."
                    )
                ledger = ReleaseLedger(settings)
                ledger.check(recipient, _names(columns), persons)
                rows = _write_tables(connection, columns, directory, say)
                say("attacking the files: earlier releases, and what the warehouse knows")
                attempt = Attempt(directory, connection, work / "restricted" / "spill")
                attacked = attack(settings, attempt, ledger)
                refuse_what_is_found(order.profile, attacked)
                _describe(order, gate, attempt, rows, attacked)
            sync_all(directory)
            given = _given(order, gate, directory, columns, len(persons))
            ledger.add(given, persons)
            try:
                replace_directory(directory, final)
            except OSError:
                ledger.remove(given)
                raise
        action.add(
            tables=len(rows),
            rows=about(sum(rows.values())),
            manifest_sha256=sha256_of(final / MANIFEST),
        )
    return ReleaseReport(path=final, rows=rows)


@contextmanager
def _audited(
    settings: Settings, profile: Profile, variables: Mapping[str, Any]
) -> Iterator[Action]:
    current = current_directory(settings.lake)
    with audited(
        settings,
        "release",
        # A name is its giver's free text: the manifest's digest tells one release from another.
        profile=profile.name,
        snapshot_id=variables.get("snapshot", current.name if current else None),
    ) as action:
        yield action


def _check_unused(final: Path) -> None:
    """Names are not used twice: what was handed out under one cannot be taken back by another."""
    if final.exists():
        raise PublicationError(
            f"There is a release {final.name} already: choose another name. To withdraw the old "
            f"one, tell those who have it and move {final} away."
        )


@contextmanager
def _attempt(directory: Path, final: Path) -> Iterator[Path]:
    """Give an empty directory to write into, and leave nothing of it when writing fails."""
    shutil.rmtree(directory, ignore_errors=True)
    try:
        directory.mkdir()
        yield directory
    except (OSError, pa.ArrowException) as error:
        raise PublicationError(
            f"The release {final.name} could not be written to {final.parent} "
            f"({type(error).__name__}: {getattr(error, 'strerror', None) or 'writing failed'}): "
            "free some space or correct the permissions and try again."
        ) from None
    except duckdb.Error as error:
        # The text of a database error may quote a value.
        raise PublicationError(
            f"The release {final.name} could not be read from its build "
            f"({type(error).__name__}): give it more space or memory and try again."
        ) from None
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _opened(gate: OpenGate) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set temp_directory = $1", [str(gate.database.parent / "spill")])
        path = str(gate.database).replace("'", "''")
        connection.execute(f"attach '{path}' as warehouse (read_only)")
        connection.execute(f"use warehouse.{gate.schema}")
        yield connection


def _columns_behind(
    connection: duckdb.DuckDBPyConnection, gate: OpenGate, profile: Profile
) -> dict[str, list[str]]:
    return {
        table: [c for c in _columns(connection, table) if c not in profile.left_out_columns]
        for table in _tables_behind(connection, gate)
    }


def _names(columns: Mapping[str, list[str]]) -> tuple[str, ...]:
    """Name the columns that two releases could be joined by: all but keys, which are random."""
    return tuple(
        f"{table}.{column}"
        for table, names in columns.items()
        for column in names
        if not column.endswith("_key")
    )


def _persons(connection: duckdb.DuckDBPyConnection) -> pa.Array:
    table: Any = connection.sql("select person_key from release_patients").to_arrow_table()
    return table.column(0).combine_chunks()


def _given(
    order: Order, gate: OpenGate, directory: Path, columns: Mapping[str, list[str]], persons: int
) -> Given:
    return Given(
        release=order.name,
        profile=order.profile.name,
        recipient=order.recipient,
        agreement=order.agreement,
        snapshot_id=gate.snapshot_id,
        given_at=now(),
        manifest_sha256=sha256_of(directory / MANIFEST),
        columns=_names(columns),
        persons_count=persons,
    )


def _write_tables(
    connection: duckdb.DuckDBPyConnection,
    columns: Mapping[str, list[str]],
    directory: Path,
    say: Callable[[str], None],
) -> dict[str, int]:
    keys = sorted({c for names in columns.values() for c in names if c.endswith("_key")})
    for key in keys:
        _register_release_ids(connection, key, [t for t, names in columns.items() if key in names])
    rows = {}
    for table, names in columns.items():
        say(f"writing {table}")
        query = released_query(table, names)
        rows[table] = _write_parquet(connection, query, directory / f"{table}.parquet")
    return rows


def _tables_behind(connection: duckdb.DuckDBPyConnection, gate: OpenGate) -> list[str]:
    found = connection.execute(f"select table_name, build_id from {GATE} order by all").fetchall()
    if not found or any(build_id != gate.build_id for _, build_id in found):
        raise PublicationError(
            "The tables of the release are not those of the build that opened its gate: "
            "release again."
        )
    return [table for table, _ in found]


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    return [row[0] for row in connection.execute(f"describe {table}").fetchall()]


def _register_release_ids(
    connection: duckdb.DuckDBPyConnection, key: str, tables: list[str]
) -> None:
    """Draw a random number for every value of a key, the same one in all tables."""
    values = " union ".join(f"select {key} from {table}" for table in tables)
    old: Any = connection.sql(
        f"select {key} from ({values}) as known where {key} is not null"
    ).to_arrow_table()
    crosswalk = pa.table(
        {"old_key": old.column(0), "new_key": pa.array(random_ids(old.num_rows), pa.int64())}
    )
    connection.register(f"crosswalk_{key}", crosswalk)


def random_ids(count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Draw distinct random numbers below 2^63 from the operating system's generator."""
    drawn = np.empty(0, dtype=np.int64)
    while len(drawn) < count:
        fresh = np.frombuffer(secrets.token_bytes(8 * (count - len(drawn))), dtype=np.uint64)
        drawn = np.concatenate([drawn, (fresh >> np.uint64(1)).astype(np.int64)])
        _, first = np.unique(drawn, return_index=True)
        # Sorted values would give the order of the warehouse's keys away.
        drawn = drawn[np.sort(first)]
    return drawn


def released_query(table: str, columns: list[str]) -> str:
    """Select a table with its keys replaced, ordered by the random numbers that replace them."""
    selected = [
        f"crosswalk_{name}.new_key as {name}" if name.endswith("_key") else f"released.{name}"
        for name in columns
    ]
    joins = [
        f"left join crosswalk_{name} on released.{name} = crosswalk_{name}.old_key"
        for name in columns
        if name.endswith("_key")
    ]
    return f"select {', '.join(selected)} from {table} as released {' '.join(joins)} order by all"


def _write_parquet(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
    """Write a query's rows; the file says nothing but them (no statistics, no writer's schema)."""
    reader: Any = connection.sql(query).to_arrow_reader(BATCH_ROWS)
    schema = reader.schema.remove_metadata()
    rows = 0
    with pq.ParquetWriter(
        path, schema, compression="zstd", write_statistics=False, store_schema=False
    ) as writer:
        for batch in reader:
            writer.write_batch(batch.replace_schema_metadata(None))
            rows += batch.num_rows
    return rows


def _describe(
    order: Order,
    gate: OpenGate,
    attempt: Attempt,
    rows: dict[str, int],
    attacked: Attacked,
) -> None:
    directory = attempt.directory
    release = Release(
        name=order.name,
        profile=order.profile.name,
        agreement=order.agreement,
        recipient=order.recipient,
        rows=rows,
        documentation=gate.documentation,
        is_synthetic=order.is_synthetic,
    )
    write_documents(release, directory)
    report = risk_report(
        f"{order.name} ({order.profile.name})",
        _read_rows(attempt.connection, Risk, "attacker_code, stage_code desc"),
        _read_rows(attempt.connection, Loss, "rule_number"),
        order.profile.parameters,
        attacked,
        is_synthetic=order.is_synthetic,
    )
    (directory / REPORT).write_text(report, encoding="utf-8")
    files = []
    for path in sorted(directory.iterdir()):
        entry: dict[str, Any] = {
            "file": path.name,
            "bytes": path.stat().st_size,
            "sha256": sha256_of(path),
        }
        if path.stem in rows:
            entry["rows"] = rows[path.stem]
        files.append(entry)
    manifest = {
        "release": order.name,
        "profile": order.profile.name,
        "recipient": order.recipient,
        "agreement": order.agreement,
        "is_synthetic": order.is_synthetic,
        "files": files,
    }
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    os.chmod(directory, 0o755)


_Row = TypeVar("_Row", Risk, Loss)
_SOURCES = {Risk: "release_risks", Loss: "release_losses"}


def _read_rows(
    connection: duckdb.DuckDBPyConnection, kind: type[_Row], order_by: str
) -> list[_Row]:
    names = ", ".join(field.name for field in fields(kind))
    query = f"select {names} from {_SOURCES[kind]} order by {order_by}"
    return [kind(*row) for row in connection.execute(query).fetchall()]
