"""The research models and the tests of their gate over a million persons, in one connection.

Their SQL as dbt compiles it, from stays on; stays and diagnoses are made up here. Two stays a
person on the mean over two years, 60 diagnosis categories of which few are common, six areas.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from governance.settings import PROJECT_ROOT

PERSONS = 1_000_000
# What the models are given; everything between these and the gate is built.
GIVEN = {
    "intermediate.int_release__whole_stays": """
        select
            'stay-' || i || '-' || n as stay_key,
            'person-' || i as person_key,
            case when hash(i, 3) % 2 = 0 then 'teaching' else 'community' end as peer_group_code,
            cast(1 + least(hash(i, n, 4) % 6, 4) as varchar) as acuity_code,
            case when hash(i, n, 5) % 6 = 0 then 'ambulance' else 'walk_in' end
                as arrival_mode_code,
            case
                when hash(i, n, 6) % 100 < 15 then 'admitted'
                when hash(i, n, 6) % 100 < 19 then 'lwbs'
                else 'home'
            end as disposition_code,
            cast(arrived_at as date) as arrived_on,
            arrived_at,
            arrived_at + to_minutes(cast(30 + hash(i, n, 7) % 600 as bigint)) as left_at
        from (
            select
                i,
                n,
                timestamp '2023-01-01 08:00:00'
                + to_minutes(cast(hash(i, n, 8) % 1051200 as bigint)) as arrived_at
            from range(PERSONS) as p(i), range(8) as s(n)
            where n < 1 + case hash(i, 9) % 10 when 0 then 7 when 1 then 3 when 2 then 2
                when 3 then 1 when 4 then 1 else 0 end
        )
    """,
    "intermediate.int_release__stay_diagnoses": """
        select
            stay_key,
            'CCS' || lpad(cast(c as varchar), 3, '0') as group_code,
            'CCS' || lpad(cast(c as varchar), 3, '0') as ccsr_code,
            'Category' as ccsr_name,
            cast(c % 18 as varchar) as chapter_code,
            'Chapter' as chapter_name,
            n = 0 as is_main
        from (
            select distinct
                stay_key,
                n,
                cast(pow(hash(stay_key, n) % 1000 / 1000.0, 2) * 59 as int) + n * 60 as c
            from intermediate.int_release__whole_stays, range(2) as d(n)
            where n = 0 or hash(stay_key) % 5 = 0
        )
    """,
    # Of the profile open nothing is pinned: its dates are not shown.
    "intermediate.int_release__pinned_stays": "select 'none' as stay_key where false",
    "core.dim_patients": """
        select
            'person-' || i as person_key,
            case when hash(i, 1) % 2 = 0 then 'F' else 'M' end as sex_code,
            (['10001', '11201', '12201', '13201', '14601', '53201'])[
                cast(1 + hash(i, 2) % 6 as bigint)
            ] as postal_code,
            date '1935-01-01' + cast(hash(i, 10) % 32000 as int) as birth_on
        from range(PERSONS) as p(i)
    """,
    "core.dim_snapshots": "select timestamp '2024-12-31 00:00:00' as data_through_at",
    "privacy.zip3_allowed": "select unnest(['100', '112', '122', '132', '146', '532']) as zip3",
}


def main(directory: Path, rows: int | None) -> Iterator[str]:
    """Build the release of so many persons and run its tests."""
    persons = rows or PERSONS
    nodes = _compiled(directory)
    with duckdb.connect() as connection:
        connection.execute("set memory_limit = '2500MB'")
        connection.execute("set temp_directory = $1", [str(directory / "spill")])
        connection.execute("set preserve_insertion_order = false")
        for schema in ("intermediate", "core", "privacy", "research"):
            connection.execute(f"create schema {schema}")
        begun = time.perf_counter()
        for place, query in GIVEN.items():
            connection.execute(f"create table {place} as {query.replace('PERSONS', str(persons))}")
        counted = connection.sql("select count(*) from intermediate.int_release__whole_stays")
        yield (
            f"{persons:,} persons with {counted.fetchall()[0][0]:,} stays made up in "
            f"{time.perf_counter() - begun:.1f} s (not counted)"
        )
        seconds = {"models": 0.0, "tests": 0.0}
        slow: list[tuple[float, str]] = []
        processor = 0.0
        for node in _ordered(nodes):
            begun, worked = time.perf_counter(), time.process_time()
            _run(connection, node)
            took = time.perf_counter() - begun
            processor += time.process_time() - worked
            seconds["tests" if node["resource_type"] == "test" else "models"] += took
            slow.append((took, node["name"]))
        for took, name in sorted(slow, reverse=True)[:5]:
            yield f"{took:6.1f} s {name}"
        yield f"models {seconds['models']:.1f} s, tests {seconds['tests']:.1f} s"
        yield f"the gate: {sum(seconds.values()):.1f} s, {processor:.1f} s of a processor"


def _compiled(directory: Path) -> dict[str, dict[str, Any]]:
    command = [sys.executable, "-m", "dbt.cli.main", "--quiet", "compile", "--target", "lint"]
    command += ["--select", "+release_gate", "--no-populate-cache"]
    command += ["--project-dir", str(PROJECT_ROOT), "--profiles-dir", str(PROJECT_ROOT)]
    command += ["--target-path", str(directory), "--log-path", str(directory)]
    subprocess.run(command, cwd=PROJECT_ROOT, check=True, capture_output=True)
    manifest = json.loads((directory / "manifest.json").read_text())
    nodes: dict[str, dict[str, Any]] = manifest["nodes"]
    return nodes


def _ordered(nodes: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The models of the release behind the given tables, and the tests on them alone."""
    built = {key for key, node in nodes.items() if _place(node) in GIVEN}
    order: list[dict[str, Any]] = []

    def is_released(key: str) -> bool:
        node = nodes.get(key, {"name": ""})
        return "release_" in node["name"] and node["name"] != "release_gate"

    def build(key: str) -> None:
        if key in built:
            return
        built.add(key)
        for parent in nodes[key]["depends_on"]["nodes"]:
            build(parent)
        order.append(nodes[key])

    for name in ("release_diagnoses", "release_risks"):
        build(f"model.scutari.{name}")
    for node in nodes.values():
        is_ours = node["resource_type"] == "test" and node.get("compiled_code")
        if is_ours and all(parent in built for parent in node["depends_on"]["nodes"]):
            if any(is_released(parent) for parent in node["depends_on"]["nodes"]):
                order.append(node)
    return order


def _place(node: dict[str, Any]) -> str:
    return f"{node['schema']}.{node['alias']}"


def _run(connection: duckdb.DuckDBPyConnection, node: dict[str, Any]) -> None:
    if node["resource_type"] == "test":
        failing = connection.sql(f"select count(*) from ({node['compiled_code']})").fetchall()[0][0]
        if failing:
            raise AssertionError(f"{node['name']} fails with {failing} rows.")
    else:
        connection.execute(f"create table {_place(node)} as {node['compiled_code']}")
