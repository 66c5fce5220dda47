"""The ED programme's models at Ontario's size, or at a multiple of it: time and memory.

The lake that the ``ontario`` benchmark has left is built as an analyst builds it, data tests
included, without what only claims, cohorts and releases read. ``--rows 10`` builds ten times the
lake: every record and person ten times over, under other tokens, in the same hospitals, so that
every count must come out tenfold.
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

MARTS = ("ed_returns", "ed_flow", "ed_audits")
# The first character of a token is another one in each copy; none of a token's own.
_LETTERS = "ghijklmnop"
_ROW_GROUP_ROWS = 122_880
# What leaves the process within 4 GB.
_MEMORY_LIMIT = "3300MB"


def main(home: Path, rows: int | None) -> Iterator[str]:
    """Build the marts of the programme from Ontario's lake, or from so many times it."""
    times = rows or 1
    if times > len(_LETTERS):
        raise Skipped(f"--rows is the number of copies here, {len(_LETTERS)} at most")
    lake = home.parent / "ontario" / "lake"
    if not (lake / "current").exists():
        raise Skipped("it reads the lake of the benchmark `ontario`: run that with --home first")
    place = home / str(times)
    place.mkdir(exist_ok=True)
    if not (place / "lake" / "current").exists():
        _copy_lake(lake / "current", place / "lake", _LETTERS[:times])
    done = _build(place)
    found = ontario.counts(place / "warehouse.duckdb")
    expected = {what: times * count for what, count in ontario.EXPECTED.items()}
    if found != expected:
        raise RuntimeError(f"The warehouse comes to {found}, not to {expected}.")
    yield (
        f"{found['ED visits']:,} visits, every count exact: {done.wall:.0f} s, "
        f"{done.cpu:.0f} s of CPU, {done.peak_mb:.0f} MB"
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
    # One model at a time: two of the largest would share the memory.
    command += ["--log-path", str(home / "logs"), "--threads", "1"]
    command += ["--select", *(f"+path:models/marts/{name}" for name in MARTS)]
    return measure.run(
        command,
        SCUTARI_HOME=str(home),
        SCUTARI_SPILL=str(spill),
        SCUTARI_MEMORY_LIMIT=_MEMORY_LIMIT,
    )


def _copy_lake(snapshot: Path, lake: Path, letters: str) -> None:
    """Write a lake in which every record and person of a snapshot stands once for each letter."""
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
                for number, letter in enumerate(letters):
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
