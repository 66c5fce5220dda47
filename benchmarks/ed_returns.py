"""ED returns per hospital, month and measure: the project's models against hand-written rivals.

Every contender starts from the same lake files and must give all figures of the mart, or the
benchmark fails. The models are measured twice: as dbt builds them, with all tables written to the
warehouse, and as SQL alone, in memory, with the facts and dimensions that the mart asks left as
views. Where the benchmark ``ontario`` has left its lake, that is counted too: what is fixed in a
query, and weighs on a small network, is nothing there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset as ds
from adbc_driver_postgresql import dbapi

from benchmarks import measure, postgres
from benchmarks.ed_returns_pandas import count
from chart_audit.hand_over import hand_over
from demo.network import plant_network
from extract.snapshot import take_snapshot
from governance.settings import PROJECT_ROOT, load_settings

VISITS = 300_000
REPETITIONS = 5
ONTARIO_REPETITIONS = 3
TABLES = {
    "ed_visits": "ehr/ed_visits",
    "patients": "ehr/patients",
    "hospitals": "ehr/hospitals",
    "feeds": "ehr/feeds",
    "person_map": "identity/person_map",
    "members": "billing/members",
    "ed_visit_diagnoses": "ehr/ed_visit_diagnoses",
    "inpatient_encounters": "ehr/inpatient_encounters",
    "inpatient_diagnoses": "ehr/inpatient_diagnoses",
}
DUCKDB_QUERY = Path(__file__).with_name("ed_returns_duckdb.sql")
POSTGRES_QUERY = Path(__file__).with_name("ed_returns_postgres.sql")
MODEL = "rpt_ed_returns_monthly"
TARGET = "dbt-benchmark"
SHARED = ("intermediate", "table")
_SELECTED = ("--resource-types", "seed", "model", "--select", f"+{MODEL}")
MEASURES = "ed_return_measures"
_MART = f"""
    select
        hospital_key, month_on, measure_code,
        numerator_count, index_visits_count, all_visits_count
    from marts.{MODEL}
    inner join seeds.{MEASURES} using (measure_code)
    where is_network_published
    order by 1, 2, 3
"""
HEADLINE = "ed_return_72h_admitted"

Rows = list[tuple[Any, ...]]

_CONTENDERS = {
    "bare": "bare DuckDB query",
    "models": "the models' SQL",
    "dbt": "dbt, first to last model",
    "process": "dbt build, whole process",
    "pandas": "pandas",
    "postgres": "PostgreSQL",
}


def main(home: Path, rows: int | None) -> Iterator[str]:
    """Plant and snapshot a network if there is none, then count its returns in every way."""
    if not (home / "lake" / "current").exists():
        plant_network(home, visits=rows or VISITS)
        hand_over(load_settings(home))
        take_snapshot(load_settings(home))
    yield from _compared(home, REPETITIONS)
    lake = home.parent / "ontario" / "lake"
    if (lake / "current").exists():
        whole = home / "ontario"
        whole.mkdir(exist_ok=True)
        if not (whole / "lake").exists():
            (whole / "lake").symlink_to(lake, target_is_directory=True)
        yield "Ontario's lake:"
        yield from _compared(whole, ONTARIO_REPETITIONS)


def _compared(home: Path, repetitions: int) -> Iterator[str]:
    """Let all contenders count what the lake of ``home`` holds, in turn."""
    lake = (home / "lake" / "current").resolve()
    bare = DUCKDB_QUERY.read_text(encoding="utf-8")
    postgresql = POSTGRES_QUERY.read_text(encoding="utf-8")
    seconds: dict[str, list[float]] = {name: [] for name in _CONTENDERS}
    with postgres.server(home) as server:
        _load(server, lake)
        for _ in range(repetitions):
            wall, inside, built = _dbt(home)
            seconds["dbt"].append(inside)
            seconds["process"].append(wall)
            expected = _timed(lambda: _duckdb(lake, bare), seconds["bare"])
            found = {
                "dbt models": built,
                "the models' SQL": _models(home, seconds["models"]),
                "pandas": _timed(lambda: count(lake), seconds["pandas"]),
                "PostgreSQL": _timed(lambda: _ask(server, postgresql), seconds["postgres"]),
            }
            for name, cells in found.items():
                _assert_same(name, cells, expected)
    headline = [row for row in expected if row[2] == HEADLINE]
    totals = [sum(row[place] for row in headline) for place in (3, 4, 5)]
    yield (
        f"{len(expected)} cells; headline: numerator {totals[0]:,}, index visits {totals[1]:,}, "
        f"all visits {totals[2]:,}: the same in all; {repetitions} runs of each in turn"
    )
    for key, name in _CONTENDERS.items():
        against = (seconds["bare"], seconds["models"])
        bare_ratio, models_ratio = (measure.ratio(seconds[key], one) for one in against)
        middle = sorted(seconds[key])[repetitions // 2]
        yield f"{name:<26} {middle:7.2f} s; bare {bare_ratio}, the models' SQL {models_ratio}"


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
    target = home / TARGET
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
    steps = [
        datetime.fromisoformat(step[end])
        for one in _artifact(home, "run_results.json")["results"]
        if one["unique_id"].startswith("model.")
        for step in one["timing"]
        for end in ("started_at", "completed_at")
    ]
    inside = (max(steps) - min(steps)).total_seconds()
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        return run.wall, inside, connection.execute(_MART).fetchall()


def _artifact(home: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / TARGET / name).read_text("utf-8"))
    return found


def _models(home: Path, seconds: list[float]) -> Rows:
    """Run the SQL that dbt has compiled in one connection; only shared steps become tables."""
    nodes = _artifact(home, "manifest.json")["nodes"]
    # In the order in which dbt has built them: what a model reads stands before it.
    built = [
        one | nodes[one["unique_id"]]
        for one in sorted(_artifact(home, "run_results.json")["results"], key=_ended)
        if one["unique_id"].startswith(("seed.", "model."))
    ]
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("set threads = 2")
        connection.execute("set preserve_insertion_order = false")
        connection.execute("attach ':memory:' as warehouse")
        connection.execute(f"attach '{home / 'warehouse.duckdb'}' as done (read_only)")
        views = connection.execute(
            "select schema_name, sql from duckdb_views() "
            "where database_name = 'done' and starts_with(schema_name, 'lake_')"
        ).fetchall()
        for schema in {view[0] for view in views} | {node["schema"] for node in built}:
            connection.execute(f"create schema if not exists warehouse.{schema}")
        connection.execute("use warehouse")
        for _, sql in views:
            connection.execute(sql.replace("done.", ""))
        begun = time.perf_counter()
        for node in built:
            name = f"{node['schema']}.{node['alias']}"
            if node["resource_type"] == "seed":
                # The rivals answer for the measures that the network sees.
                asked = " where is_network_published" if node["name"] == MEASURES else ""
                connection.execute(f"create table {name} as select * from done.{name}{asked}")
                continue
            is_shared = (node["schema"], node["config"]["materialized"]) == SHARED
            kind = "table" if is_shared else "view"
            connection.execute(f"create {kind} {name} as {node['compiled_code']}")
        found = connection.execute(_MART).fetchall()
        seconds.append(time.perf_counter() - begun)
        return found


def _ended(result: dict[str, Any]) -> str:
    return max(str(step["completed_at"]) for step in result["timing"])


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
