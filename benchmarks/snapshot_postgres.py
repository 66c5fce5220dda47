"""A snapshot of one large PostgreSQL table against PostgreSQL's own fastest way out."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from benchmarks import measure, phases, postgres
from extract.contract_files import load_contracts
from governance.settings import PROJECT_ROOT

ROWS = 3_000_000
REPETITIONS = 5
DSN = "SCUTARI_BENCHMARK_DSN"
# What no program that reads into Arrow can be faster than.
_DRIVER_ALONE = """
import os, sys
from adbc_driver_postgresql import dbapi
with dbapi.connect(os.environ[sys.argv[1]]) as connection, connection.cursor() as cursor:
    cursor.execute(sys.argv[2])
    print(sum(batch.num_rows for batch in cursor.fetch_record_batch()))
"""


def main(home: Path, rows: int | None) -> list[str]:
    """Plant, run both in turn, say what came out."""
    rows = rows or ROWS
    with postgres.server(home) as server:
        postgres.plant_tables(server)
        body = f'[sources.ehr]\nkind = "postgresql"\ndsn_env = "{DSN}"\n'
        measure.write_settings(home / "first", body)
        # What every night finds: an installation that has a snapshot, here an empty one.
        first = measure.run(
            [sys.executable, "-m", "benchmarks.phases", str(home / "first")], {DSN: server.dsn}
        )
        postgres.plant_visits(server, rows)
        table = load_contracts(PROJECT_ROOT)["ehr"].tables["ed_visits"]
        columns = ", ".join(column.name for column in table.read_columns)
        query = f"select {columns} from ed_visits"
        copy = f"copy ({query}) to stdout (format binary)"
        driver = [sys.executable, "-c", _DRIVER_ALONE, DSN, query]
        floor = ["sh", "-c", '"$0" "$1" -c "$2" > /dev/null', str(server.psql), server.dsn, copy]
        snapshot = [sys.executable, "-m", "benchmarks.phases", str(home / "night")]
        measure.run(floor)
        floors, drivers = [], []
        runs: dict[str, list[measure.Run]] = {"": [], "--unordered": [], "--bare": []}
        for _ in range(REPETITIONS):
            floors.append(measure.run(floor))
            drivers.append(measure.run(driver, {DSN: server.dsn}))
            for option, found in runs.items():
                _begin_night(home)
                found.append(measure.run([*snapshot, option], {DSN: server.dsn}))
        _begin_night(home)
        spent = measure.run([*snapshot, "--phases"], {DSN: server.dsn})
    snapshots, unordered, bares = runs.values()
    ratio = measure.ratio([one.wall for one in snapshots], [one.wall for one in floors])
    driver_ratio = measure.ratio([one.wall for one in drivers], [one.wall for one in floors])
    ours, theirs, alone = (measure.middle(of) for of in (snapshots, floors, drivers))
    peak = max(one.peak_mb for one in snapshots)
    return [
        f"{rows:,} rows, {len(table.read_columns)} columns read, "
        f"{len(table.lake_columns)} written, {REPETITIONS} runs of each in turn",
        f"psql COPY (binary) > /dev/null: {theirs.wall:.2f} s",
        f"the driver alone, into nothing: {alone.wall:.2f} s (CPU {alone.cpu:.2f} s); "
        f"ratio {driver_ratio}",
        f"snapshot, whole process:        {ours.wall:.2f} s (CPU {ours.cpu:.2f} s), "
        f"peak {peak:.0f} MB; ratio {ratio}",
        f"without tokens, code checks and the tokens' order: {measure.middle(bares).wall:.2f} s",
        f"tokens and code checks: {_of(unordered, bares)}",
        f"rows in the order of their tokens: {_of(snapshots, unordered)}",
        f"an installation's first snapshot, without visits: {first.wall:.2f} s, "
        f"peak {first.peak_mb:.0f} MB",
        *phases.lines(spent.output),
    ]


def _of(ours: list[measure.Run], theirs: list[measure.Run]) -> str:
    wall = measure.ratio([one.wall for one in ours], [one.wall for one in theirs])
    cpu = measure.ratio([one.cpu for one in ours], [one.cpu for one in theirs])
    return f"{wall} of the time without, {cpu} of the processor time"


def _begin_night(home: Path) -> None:
    shutil.rmtree(home / "night", ignore_errors=True)
    shutil.copytree(home / "first", home / "night", symlinks=True)
