"""The ED programme's models at Ontario's size and at ten times it: time and memory.

The lake that the ``ontario`` benchmark has left is built as an analyst builds it, data tests
included, without what only claims, cohorts and releases read. Ten times it is the same lake with
every record and person ten times over, under other tokens, in the same hospitals: every count must
come out tenfold.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb

from benchmarks import measure, ontario
from benchmarks.postgres import Skipped
from extract.contract_files import load_contracts
from extract.contracts import TableContract
from governance.settings import PROJECT_ROOT

COPIES = 10
MARTS = ("ed_returns", "ed_flow", "ed_audits")
# The first character of a token is another one in each copy; none of a token's own.
_LETTERS = "ghijklmnop"
_ROW_GROUP_ROWS = 122_880


def main(home: Path, rows: int | None) -> Iterator[str]:
    """Build the marts of the programme from Ontario's lake, then from ten times it."""
    lake = home.parent / "ontario" / "lake"
    if not (lake / "current").exists():
        raise Skipped("it reads the lake of the benchmark `ontario`: run that with --home first")
    once = home / "once"
    once.mkdir(exist_ok=True)
    (once / "lake").unlink(missing_ok=True)
    (once / "lake").symlink_to(lake)
    tenfold = home / "tenfold"
    if not (tenfold / "lake" / "current").exists():
        _copy_lake(lake / "current", tenfold / "lake")
    for name, times in ((once, 1), (tenfold, COPIES)):
        done = _build(name)
        found = ontario.counts(name / "warehouse.duckdb")
        expected = {what: times * count for what, count in ontario.EXPECTED.items()}
        if found != expected:
            raise RuntimeError(f"The warehouse comes to {found}, not to {expected}.")
        yield (
            f"{found['ED visits']:>12,} visits {done.wall:6.0f} s {done.cpu:6.0f} s of CPU "
            f"{done.peak_mb:8.0f} MB"
        )


def _build(home: Path) -> measure.Run:
    (home / "warehouse.duckdb").unlink(missing_ok=True)
    spill = home / "spill"
    shutil.rmtree(spill, ignore_errors=True)
    spill.mkdir()
    command = [sys.executable, "-m", "dbt.cli.main", "build"]
    command += ["--exclude-resource-type", "unit_test"]
    # Of a test that joins two models both must be built.
    command += ["--indirect-selection", "buildable", "--target-path", str(home / "target")]
    command += ["--log-path", str(home / "logs")]
    command += ["--select", *(f"+path:models/marts/{name}" for name in MARTS)]
    return measure.run(command, SCUTARI_HOME=str(home), SCUTARI_SPILL=str(spill))


def _copy_lake(snapshot: Path, lake: Path) -> None:
    """Write a lake in which every record and every person of a snapshot is ten times."""
    directory = lake / snapshot.resolve().name
    shutil.rmtree(lake, ignore_errors=True)
    directory.mkdir(parents=True)
    shutil.copy(snapshot / "_manifest.json", directory)
    for source in load_contracts(PROJECT_ROOT).values():
        for table in source.tables.values():
            origin = snapshot / source.name / table.name
            if not origin.is_dir():
                continue
            target = directory / source.name / table.name
            if any(column.is_key for column in table.lake_columns):
                target.mkdir(parents=True)
                for number, letter in enumerate(_LETTERS):
                    _copy_table(table, origin, target / f"copy-{number}.parquet", letter)
            else:
                shutil.copytree(origin, target)
    (lake / "current").symlink_to(directory.name)


def _copy_table(table: TableContract, origin: Path, target: Path, letter: str) -> None:
    changed = ", ".join(
        f"'{letter}' || substr({column.name}, 2) as {column.name}"
        for column in table.lake_columns
        if column.is_key
    )
    with duckdb.connect(config={"memory_limit": "1GB", "threads": os.cpu_count() or 1}) as con:
        con.execute(
            f"copy (select * replace ({changed}) from read_parquet('{origin}/*.parquet')) "
            f"to '{target}' (format parquet, compression zstd, compression_level 1, "
            f"row_group_size {_ROW_GROUP_ROWS})"
        )
