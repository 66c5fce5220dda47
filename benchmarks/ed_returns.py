"""ED returns per hospital and month: the project's models against one bare query and others.

Every contender starts from the same lake files and must give the same figures, or the benchmark
fails. The models do more than the bare query: six measures, the reasons of every exclusion, main
diagnoses, ages, and tables that stay.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset as ds
from adbc_driver_postgresql import dbapi

from benchmarks import measure, postgres
from benchmarks.ed_returns_pandas import count
from demo.network import plant_network
from extract.snapshot import take_snapshot
from governance.settings import PROJECT_ROOT, load_settings

VISITS = 300_000
REPETITIONS = 3
TABLES = {
    "ed_visits": "ehr/ed_visits",
    "patients": "ehr/patients",
    "hospitals": "ehr/hospitals",
    "feeds": "ehr/feeds",
    "person_map": "identity/person_map",
}
QUERY = Path(__file__).with_suffix(".sql")
MODEL = "rpt_ed_returns_monthly"
_SELECTED = ("--resource-types", "seed", "model", "--select", f"+{MODEL}")
_HEADLINE = f"""
    select hospital_key, month_on, numerator_count, index_visits_count, all_visits_count
    from marts.{MODEL} where measure_code = 'ed_return_72h_admitted' order by 1, 2
"""

Rows = list[tuple[Any, ...]]


def main(home: Path, rows: int | None) -> list[str]:
    """Plant and snapshot a network if there is none, then count its returns in every way."""
    if not (home / "lake" / "current").exists():
        plant_network(home, visits=rows or VISITS)
        take_snapshot(load_settings(home))
    lake = (home / "lake" / "current").resolve()
    query = QUERY.read_text(encoding="utf-8")
    bare: list[float] = []
    pandas: list[float] = []
    models: list[float] = []
    builds: list[float] = []
    servers: list[float] = []
    with postgres.server(home) as server:
        _load(server, lake)
        for _ in range(REPETITIONS):
            expected = _timed(lambda: _duckdb(lake, query), bare)
            wall, inside, found = _dbt(home)
            builds.append(wall)
            models.append(inside)
            _assert_same("dbt models", found, expected)
            _assert_same("pandas", _timed(lambda: count(lake), pandas), expected)
            _assert_same("PostgreSQL", _timed(lambda: _ask(server, query), servers), expected)
    totals = [sum(row[place] for row in expected) for place in (2, 3, 4)]
    return [
        f"{len(expected)} cells; numerator {totals[0]:,}, index visits {totals[1]:,}, "
        f"all visits {totals[2]:,}: the same in all; {REPETITIONS} runs of each in turn",
        _line("bare DuckDB query", bare, bare),
        _line("pandas", pandas, bare),
        _line("the same query in PostgreSQL", servers, bare),
        _line("dbt, first to last model", models, bare),
        _line("dbt build, whole process", builds, bare),
    ]


def _line(name: str, seconds: list[float], bare: list[float]) -> str:
    return f"{name:<30} {sorted(seconds)[len(seconds) // 2]:6.2f} s; {measure.ratio(seconds, bare)}"


def _timed(work: Callable[[], Rows], seconds: list[float]) -> Rows:
    begun = time.perf_counter()
    found = work()
    seconds.append(time.perf_counter() - begun)
    return found


def _assert_same(name: str, found: Rows, expected: Rows) -> None:
    if found != expected:
        raise AssertionError(f"{name}: {len(set(found) ^ set(expected))} cells differ")


def _duckdb(lake: Path, query: str) -> Rows:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("set threads = 2")
        for name, path in TABLES.items():
            connection.execute(
                f"create view {name} as select * from read_parquet('{lake / path}/*.parquet')"
            )
        return connection.execute(query).fetchall()


def _dbt(home: Path) -> tuple[float, float, Rows]:
    """Build the mart and all it needs; seconds of the process, and from first to last model."""
    target = home / "dbt-benchmark"
    run = measure.run(
        [sys.executable, "-m", "dbt.cli.main", "--quiet", "build", *_SELECTED],
        os.environ
        | {
            "SCUTARI_HOME": str(home),
            "DBT_PROFILES_DIR": str(PROJECT_ROOT),
            "DBT_PROJECT_DIR": str(PROJECT_ROOT),
            "DBT_TARGET_PATH": str(target),
            "DBT_LOG_PATH": str(target / "logs"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        },
    )
    results = json.loads((target / "run_results.json").read_text("utf-8"))["results"]
    steps = [
        datetime.fromisoformat(step[end])
        for one in results
        if one["unique_id"].startswith("model.")
        for step in one["timing"]
        for end in ("started_at", "completed_at")
    ]
    inside = (max(steps) - min(steps)).total_seconds()
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        return run.wall, inside, connection.execute(_HEADLINE).fetchall()


def _load(server: postgres.Server, lake: Path) -> None:
    with dbapi.connect(server.dsn) as connection, connection.cursor() as cursor:
        for name, path in TABLES.items():
            reader = ds.dataset(lake / path, format="parquet").scanner().to_reader()
            cursor.adbc_ingest(name, reader)
        connection.commit()
    server.execute(*(f"vacuum (analyze) {name}" for name in TABLES))


def _ask(server: postgres.Server, query: str) -> Rows:
    with dbapi.connect(server.dsn) as connection, connection.cursor() as cursor:
        cursor.execute("set time zone 'UTC'")
        cursor.execute("set work_mem = '256MB'")
        cursor.execute(query)
        return [tuple(row) for row in cursor.fetchall()]
