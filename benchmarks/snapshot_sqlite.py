"""A snapshot of SQLite's ED visits: how fast, and what Python spends it on."""

from __future__ import annotations

import cProfile
import io
import pstats
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import measure, phases
from demo.schema import TABLES, sqlite_ddl
from extract.codes import load_code_sets
from extract.contract_files import load_contracts
from extract.convert import Converter, Tally
from extract.identity.tokens import Tokeniser
from extract.sources.sqlite import SqliteSource
from governance.settings import PROJECT_ROOT, SourceSettings

ROWS = 1_000_000
REPETITIONS = 3
FUNCTIONS = 12
_START = 1_640_995_200

_VISITS = """
insert into ed_visits
with recursive numbers(i) as (select 1 union all select i + 1 from numbers where i < {rows}),
drawn as (
    select i, {start} + i * (94608000.0 / {rows}) + i * 37 % 86400 as s from numbers
)
select
    i,
    printf('H%02d', 1 + i % 20),
    (i * 7919) % ({rows} / 3 + 1),
    case when i % 20 > 0 then (i * 104729) % 2000 end,
    printf('V%010d', i),
    strftime('%Y-%m-%dT%H:%M:%S-05:00', s, 'unixepoch'),
    case when i % 50 > 0 then strftime('%Y-%m-%dT%H:%M:%S-05:00', s + 720, 'unixepoch') end,
    case when i % 17 > 0 then strftime('%Y-%m-%dT%H:%M:%S-05:00', s + 4500, 'unixepoch') end,
    strftime('%Y-%m-%dT%H:%M:%S-05:00', s + 12600, 'unixepoch'),
    case when i % 40 > 0 then strftime('%Y-%m-%dT%H:%M:%S-05:00', s + 14400, 'unixepoch') end,
    cast(1 + i % 5 as text),
    case i % 4 when 0 then 'walk_in' when 1 then 'ambulance' when 2 then 'police' else 'other' end,
    case i / 3 % 3 when 0 then 'abdominal_pain' when 1 then 'chest_pain' else 'headache' end,
    printf('pain since %d hours', i % 97),
    case i / 7 % 4 when 0 then 'home' when 1 then 'admitted' when 2 then 'lwbs' else 'ama' end,
    i % 30 = 0,
    case when i % 25 = 0 then printf('H%02d', 1 + i % 19) end,
    strftime('%Y-%m-%dT%H:%M:%S-05:00', s, 'unixepoch'),
    strftime('%Y-%m-%dT%H:%M:%S-05:00', s + 18000, 'unixepoch'),
    case when i % 1000 = 0 then strftime('%Y-%m-%dT%H:%M:%S-05:00', s + 32400, 'unixepoch') end,
    printf('note %d', i),
    'clerk'
from drawn
"""


def main(home: Path, rows: int | None) -> list[str]:
    """Plant, run, profile."""
    rows = rows or ROWS
    path = home / "in" / "ehr.sqlite"
    measure.write_settings(home / "in", '[sources.ehr]\nkind = "sqlite"\npath = "ehr.sqlite"\n')
    path.unlink(missing_ok=True)
    plant_visits(path, rows)
    table = load_contracts(PROJECT_ROOT)["ehr"].tables["ed_visits"]
    names = ", ".join(column.name for column in table.read_columns)
    floor = [sys.executable, "-c", _FLOOR, str(path), f"select {names} from ed_visits"]
    snapshot = [sys.executable, "-m", "benchmarks.phases", str(home / "in"), "--full"]
    floors, snapshots = [], []
    for _ in range(REPETITIONS):
        floors.append(measure.run(floor))
        snapshots.append(measure.run(snapshot))
    spent = measure.run([*snapshot, "--phases"])
    ratio = measure.ratio([one.wall for one in snapshots], [one.wall for one in floors])
    ours, theirs = measure.middle(snapshots), measure.middle(floors)
    return [
        f"{rows:,} rows, {len(table.read_columns)} columns, {REPETITIONS} runs of each in turn",
        f"fetch every value with Python's sqlite3: {theirs.wall:.2f} s",
        f"snapshot, whole process:                 {ours.wall:.2f} s, peak {ours.peak_mb:.0f} MB; "
        f"ratio {ratio}; {ours.wall * 1e6 / rows:.1f} s per million rows",
        *phases.lines(spent.output),
        *_profiled(path),
    ]


_FLOOR = """
import sqlite3, sys
cursor = sqlite3.connect(sys.argv[1]).execute(sys.argv[2])
while cursor.fetchmany(50_000):
    pass
"""


def plant_visits(path: Path, rows: int) -> None:
    """Write the record system's tables, empty but for hospitals and three years of ED visits."""
    connection = sqlite3.connect(path)
    connection.execute("pragma journal_mode = off")
    connection.execute("pragma synchronous = off")
    for table in TABLES["ehr"].values():
        connection.execute(sqlite_ddl(table))
    connection.executemany(
        "insert into hospitals (hospital_id, hospital_name, peer_group_code, time_zone, "
        "postal_code, created_at, updated_at) values (?, 'Hospital', 'small', 'America/New_York', "
        "'10001', '2022-01-01T00:00:00+00:00', '2022-01-01T00:00:00+00:00')",
        [(f"H{number:02d}",) for number in range(1, 21)],
    )
    connection.execute(_VISITS.format(rows=rows, start=_START))
    connection.commit()
    connection.close()


def _profiled(path: Path) -> Iterator[str]:
    """Profile one pass through source and converter in this process."""
    contracts = load_contracts(PROJECT_ROOT)
    table = contracts["ehr"].tables["ed_visits"]
    converter = Converter(table, load_code_sets(PROJECT_ROOT, [table]), Tokeniser(bytes(32)))
    profiler = cProfile.Profile()
    begun = time.perf_counter()
    profiler.enable()
    with SqliteSource(SourceSettings("ehr", "sqlite", path=path)) as source:
        for part in source.profile(table).partitions:
            for raw in source.read(table, part.period):
                converter.convert(raw, Tally())
    profiler.disable()
    yield f"one pass under cProfile, {time.perf_counter() - begun:.2f} s; most time in itself:"
    text = io.StringIO()
    statistics: Any = pstats.Stats(profiler, stream=text)
    statistics.sort_stats("tottime").print_stats(FUNCTIONS)
    for line in text.getvalue().splitlines():
        parts = line.split(maxsplit=5)
        if len(parts) == 6 and parts[0][0].isdigit() and "seconds" not in line:
            name = parts[5].rpartition("/")[2]
            yield f"  {parts[1]:>8} s {parts[0]:>9} calls  {name}"
