"""Publication: fresh, versioned dashboard files from the last whole green build.

Two kinds of file, as the zones demand:

- ``published/<snapshot>-<time>.duckdb``: the network's tables, cells of 1 to 10 hidden.
- ``operational/<hospital>/<snapshot>-<time>.duckdb``: one hospital's own whole figures in the
  schema ``own``, beside the same protected network tables in ``main``.

A DuckDB file that is open for reading cannot be written, and a rename over its path keeps serving
old data inside a process: every publication is a new file, and ``current.duckdb`` is a link that
one rename switches. All files are complete before the first link moves. What was published of a
closed period stays as it was (``ops/publication/history.py``).
"""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from extract.lake import sha256_of
from governance.audit.log import audited
from governance.errors import BuildError, PublicationError
from governance.files import sync
from governance.locks import exclusive
from governance.settings import Settings
from ops.build import BuildRecord, read_record
from ops.encryption import attach_warehouse
from ops.publication.curves import Day, curves_table, days_query
from ops.publication.derived import Cell, funnel_tables, own_funnel_table, xmr_table
from ops.publication.history import (
    FRESH,
    HALF_YEARLY,
    HISTORY,
    MONTHLY,
    Past,
    merge_history,
    past_publication,
)
from ops.publication.own_tables import OWN_TABLES
from ops.publication.worklist import WORKLIST, write_worklist

# The allow-list of what every signed-in reader may open; all of it from the schema `published`.
NETWORK_TABLES = (
    "dim_cohorts",
    "dim_hospitals",
    "dim_payers",
    "measures",
    "rpt_claims_monthly",
    "rpt_cohort_attrition",
    "rpt_ed_audits_network",
    "rpt_ed_returns_attrition",
    "rpt_ed_returns_half_yearly",
    "rpt_ed_returns_monthly",
    "rpt_member_months",
    "rpt_quarantine",
    "rpt_reconciliation",
    "rpt_snapshot",
)
CURRENT = "current.duckdb"
VERSIONS_KEPT = 3
DIRECTORY_MODE = 0o750
FILE_MODE = 0o640
HOSPITAL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

PUBLICATION = """
    select
        $snapshot as snapshot_id,
        cast(null as varchar) as hospital_key,
        cast(cast($built as timestamptz) as timestamp) as built_at,
        cast($published as timestamp) as published_at,
        cast($totals_through as timestamp) as totals_through_at
"""
# Tables drawn up in Python, and the tables of the same file that their cells are read from, each
# with its period. The lineage check takes every column for one made of every cell.
DERIVED_TABLES = {
    "rpt_ed_returns_xmr": MONTHLY,
    "rpt_ed_returns_funnel": HALF_YEARLY,
    "rpt_ed_returns_funnel_limits": HALF_YEARLY,
}
# The same for a hospital's own file alone: the query of the cells in its schema `own`.
OWN_DERIVED_TABLES = {"rpt_ed_return_curves": days_query("own")}


@dataclass(frozen=True)
class PublishReport:
    """What one publication wrote."""

    snapshot_id: str
    network_file: Path
    hospital_files: dict[str, Path]
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.network_file} and one file for each of {len(self.hospital_files)} hospitals "
            f"from snapshot {self.snapshot_id}"
        )


def publish(
    settings: Settings,
    *,
    is_history_lost: bool = False,
    progress: Callable[[str], None] | None = None,
) -> PublishReport:
    """Write and switch to fresh dashboard files, whole or not at all.

    Args:
        settings: the installation.
        is_history_lost: the last publication cannot be restored; of all periods that are closed
            by now nothing will be shown.
        progress: called with one line for each stage.

    Raises:
        AuditError: the audit log cannot be written.
        PublicationError: there is no whole green build of one snapshot, the last publication is
            missing, another one is running, or a file could not be written; what was published
            before stays.
    """
    started = time.monotonic()
    say = progress or (lambda message: None)
    try:
        record = read_record(settings)
    except BuildError as error:
        raise PublicationError(f"Nothing was published: {error}") from None
    with (
        _one_at_a_time(settings),
        audited(
            settings,
            "publish",
            snapshot_id=record.snapshot_id,
            **({"is_history_lost": True} if is_history_lost else {}),
        ) as action,
    ):
        try:
            with past_publication(settings, is_lost=is_history_lost) as past:
                report = _publish(settings, record, past, started, say)
        except (OSError, duckdb.Error) as error:
            raise PublicationError(
                f"Nothing was published, the previous publication in {settings.published} stays: "
                f"{_first_line(error)} (free some space or correct the permissions, and publish "
                "again)"
            ) from error
        action.add(
            hospitals=len(report.hospital_files), network_sha256=sha256_of(report.network_file)
        )
    return report


def _publish(
    settings: Settings,
    record: BuildRecord,
    past: Past,
    started: float,
    say: Callable[[str], None],
) -> PublishReport:
    published_at = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    name = f"{record.snapshot_id}-{published_at:%Y%m%dT%H%M%S%f}.duckdb"
    with duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"}) as con:
        con.execute("set timezone = 'UTC'")
        con.execute("set temp_directory = $1", [str(_emptied_spill(settings))])
        attach_warehouse(con, settings)
        _check_gate(con, record)
        hospitals = _hospital_keys(con)
        zones: dict[str | None, Path] = {None: settings.published}
        zones |= {key: settings.operational / key for key in hospitals}
        for zone in zones.values():
            _prepare(zone)
        written = {hospital: zone / name for hospital, zone in zones.items()}
        try:
            network = _write_network(con, written[None], record, past, published_at)
            for hospital in hospitals:
                _write_hospital(con, written[None], written[hospital], hospital, network)
        except BaseException:
            for path in written.values():
                path.unlink(missing_ok=True)
            raise
    say(f"{len(written)} files written")
    # The network's first: what anybody may have read is then in the history of the next one.
    for zone in written.values():
        _switch(zone)
    for zone in zones.values():
        _prune(zone)
    return PublishReport(
        snapshot_id=record.snapshot_id,
        network_file=written[None],
        hospital_files={key: written[key] for key in hospitals},
        seconds=time.monotonic() - started,
    )


def _emptied_spill(settings: Settings) -> Path:
    # What a killed publication left goes first; the lock says that none is running.
    spill = settings.work / "spill" / "publish"
    shutil.rmtree(spill, ignore_errors=True)
    spill.mkdir(mode=0o700, parents=True)
    return spill


def _check_gate(con: duckdb.DuckDBPyConnection, record: BuildRecord) -> None:
    gates = con.execute("select snapshot_id from warehouse.published.publication_gate").fetchall()
    snapshots = con.execute("select snapshot_id from warehouse.quality.rpt_snapshot").fetchall()
    if gates != [(record.snapshot_id,)] or snapshots != [(record.snapshot_id,)]:
        raise PublicationError(
            "Nothing was published: the warehouse and its build record do not name the same one "
            f"snapshot (record: {record.snapshot_id}); run `scutari build` and publish again."
        )


def _hospital_keys(con: duckdb.DuckDBPyConnection) -> list[str]:
    rows = con.execute(
        "select hospital_key from warehouse.core.dim_hospitals order by hospital_key"
    ).fetchall()
    keys = [str(row[0]) for row in rows]
    for key in keys:
        if not HOSPITAL_KEY.fullmatch(key):
            raise PublicationError(
                f"Nothing was published: the hospital key {key!r} cannot name a directory; use "
                "letters, digits, _ and - in hospitals.hospital_id."
            )
    return keys


def _write_network(
    con: duckdb.DuckDBPyConnection,
    path: Path,
    record: BuildRecord,
    past: Past,
    published_at: dt.datetime,
) -> list[Cell]:
    """Write the network's file; return its half-yearly cells, hidden ones as None."""
    con.execute(f"create schema {FRESH}")
    for table in NETWORK_TABLES:
        con.execute(f"create table {FRESH}.{table} as {network_query(table)}")
    merge_history(con, past, published_at)
    with _output(con, path):
        _copy_tables(con, FRESH, "output.main")
        con.execute("create schema output.history")
        _copy_tables(con, HISTORY, "output.history")
        monthly = _cells(con, "main", *MONTHLY)
        half_yearly = _cells(con, "main", *HALF_YEARLY)
        funnel, limits = funnel_tables(half_yearly)
        _create(con, "main.rpt_ed_returns_xmr", xmr_table(monthly, with_network=True))
        _create(con, "main.rpt_ed_returns_funnel", funnel)
        _create(con, "main.rpt_ed_returns_funnel_limits", limits)
        con.execute(
            f"create table output.main.publication as {PUBLICATION}",
            {
                "snapshot": record.snapshot_id,
                "built": record.finished_at,
                "published": published_at,
                "totals_through": con.execute(f"from {HISTORY}.totals").fetchall()[0][0],
            },
        )
    return half_yearly


def _copy_tables(con: duckdb.DuckDBPyConnection, source: str, target: str) -> None:
    database, schema = source.split(".")
    tables = con.execute(
        "select table_name from duckdb_tables() where database_name = $1 and schema_name = $2 "
        "order by table_name",
        [database, schema],
    ).fetchall()
    for (table,) in tables:
        con.execute(f"create table {target}.{table} as from {source}.{table} order by all")


def _write_hospital(
    con: duckdb.DuckDBPyConnection,
    network_file: Path,
    path: Path,
    hospital: str,
    network: list[Cell],
) -> None:
    """Write a copy of the network's file with the hospital's own whole figures added."""
    with _output(con, path, copy_of=network_file):
        _write_own(con, hospital, network)
        write_worklist(con, hospital, path.with_name(CURRENT))
        con.execute(
            "update output.main.publication set hospital_key = $hospital", {"hospital": hospital}
        )


@contextmanager
def _output(
    con: duckdb.DuckDBPyConnection, path: Path, *, copy_of: Path | None = None
) -> Iterator[None]:
    """Attach a new file as ``output`` for one transaction; it appears whole under its name."""
    temporary = _temporary(path)
    if copy_of is not None:
        shutil.copyfile(copy_of, temporary)
    con.execute(f"attach {_quoted(temporary)} as output")
    try:
        con.execute("begin transaction")
        yield
        con.execute("commit")
        con.execute("checkpoint output")
        con.execute("detach output")
    except BaseException:
        con.close()
        for leftover in path.parent.glob(f"{temporary.name}*"):
            leftover.unlink()
        raise
    temporary.chmod(FILE_MODE)
    sync(temporary)
    os.rename(temporary, path)


def _write_own(con: duckdb.DuckDBPyConnection, hospital: str, network: list[Cell]) -> None:
    con.execute("create schema output.own")
    for table, query in OWN_TABLES.items():
        if table != WORKLIST:
            con.execute(
                f"create table output.own.{table} as {query} order by all", {"hospital": hospital}
            )
    monthly = _cells(con, "own", *MONTHLY)
    half_yearly = _cells(con, "own", *HALF_YEARLY)
    _create(con, "own.rpt_ed_returns_xmr", xmr_table(monthly, with_network=False))
    _create(con, "own.rpt_ed_returns_funnel", own_funnel_table(half_yearly, network))
    days = [Day(*row) for row in con.execute(days_query("output.own")).fetchall()]
    _create(con, "own.rpt_ed_return_curves", curves_table(days))


def network_query(table: str) -> str:
    """Return the query that copies a published table into the network's file."""
    return f"select * from warehouse.published.{table}"


def cells_query(schema: str, table: str, period: str) -> str:
    """Return the query that reads the cells of a table in the file being written."""
    return (
        f"select hospital_key, {period}, measure_code, numerator_count, index_visits_count, "
        f"all_visits_count from {schema}.{table}"
    )


def _cells(con: duckdb.DuckDBPyConnection, schema: str, table: str, period: str) -> list[Cell]:
    query = cells_query(f"output.{schema}", table, period)
    rows: list[tuple[Any, ...]] = con.execute(f"{query} order by all").fetchall()
    return [Cell(*row) for row in rows]


def _create(con: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    con.register("drawn_up", table)
    con.execute(f"create table output.{name} as select * from drawn_up order by all")
    con.unregister("drawn_up")


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


def _prepare(zone: Path) -> None:
    for directory in (zone.parent, zone):
        directory.mkdir(parents=True, exist_ok=True, mode=DIRECTORY_MODE)
    # What a killed publication left behind; the lock says that nobody is writing it.
    for leftover in zone.glob(".*.tmp*"):
        leftover.unlink()


def _switch(path: Path) -> None:
    link = path.with_name(CURRENT)
    temporary = _temporary(link)
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(path.name)
    os.replace(temporary, link)
    sync(path.parent)


def _prune(zone: Path) -> None:
    # Names sort by snapshot, not by time of publication (an older snapshot may be published
    # again): the time of writing decides.
    versions = [path for path in zone.glob("*.duckdb") if not path.is_symlink()]
    versions.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    current = (zone / CURRENT).resolve()
    for old in versions[VERSIONS_KEPT:]:
        if old != current:
            old.unlink()


@contextmanager
def _one_at_a_time(settings: Settings) -> Iterator[None]:
    settings.published.mkdir(parents=True, exist_ok=True, mode=DIRECTORY_MODE)
    path = settings.published / ".lock"
    refusal = PublicationError(
        f"Nothing was published: another publication holds {path}; wait until it has ended."
    )
    with exclusive(path, refusal):
        yield


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
