"""The SQL of the research models, as dbt compiles it for a profile, run over a test's tables."""

from __future__ import annotations

import functools
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tests.helpers.small_research import write_project

PERSONS = {
    "person_key": pa.string(),
    "sex_code": pa.string(),
    "age_band": pa.string(),
    "zip3": pa.string(),
    "observation_end_band": pa.string(),
    "censoring_code": pa.string(),
    "visit_year": pa.int32(),
    "stays_count": pa.int32(),
}
VISITS = {
    "stay_key": pa.string(),
    "person_key": pa.string(),
    "peer_group_code": pa.string(),
    "acuity_code": pa.string(),
    "arrival_mode_code": pa.string(),
    "outcome_code": pa.string(),
    "interval_band": pa.string(),
    "length_of_stay_band": pa.string(),
    "every_codes": pa.string(),
    "ccsr_codes": pa.string(),
    "chapter_codes": pa.string(),
    "none_codes": pa.string(),
    "stay_number": pa.int32(),
    "arrived_on": pa.date32(),
}
DIAGNOSES = {
    "stay_key": pa.string(),
    "person_key": pa.string(),
    "stay_number": pa.int32(),
    "fine_level_code": pa.string(),
    "fine_code": pa.string(),
    "fine_name": pa.string(),
    "chapter_level_code": pa.string(),
    "chapter_code": pa.string(),
    "chapter_name": pa.string(),
    "is_main": pa.bool_(),
}
# What a person is, in a test: sex, age band, and for each stay (interval, codes, outcome), the
# first code being the main one. The chapter of a code is its first letter.
Stay = tuple[str | None, tuple[str, ...], str]
Person = tuple[str, str, tuple[Stay, ...]]


@functools.cache
def compiled(profile: str) -> dict[str, tuple[str, list[str]]]:
    """Return schema-qualified name, SQL and parents of every model of a release."""
    with tempfile.TemporaryDirectory(prefix="scutari-models-") as directory:
        root = write_project(Path(directory) / "project")
        variables = {"release_profile": profile, "release_has_sample": True}
        command = [sys.executable, "-m", "dbt.cli.main", "--quiet", "compile", "--target", "lint"]
        command += ["--select", "resource_type:model", "--vars", json.dumps(variables)]
        command += ["--project-dir", str(root), "--profiles-dir", str(root)]
        command += ["--target-path", directory, "--log-path", directory, "--no-populate-cache"]
        subprocess.run(command, cwd=root, env=os.environ.copy(), check=True, capture_output=True)
        nodes = json.loads((Path(directory) / "manifest.json").read_text())["nodes"].values()
    return {
        node["name"]: (
            f"{node['schema']}.{node['alias']}",
            node.get("compiled_code") or "",
            [parent.rpartition(".")[2] for parent in node["depends_on"].get("nodes", [])],
        )
        for node in nodes
        if node["resource_type"] in ("model", "seed")
    }


def run_models(
    profile: str, given: Mapping[str, pa.Table], *wanted: str
) -> duckdb.DuckDBPyConnection:
    """Build the wanted models, and what they need, from the given ones."""
    connection = duckdb.connect()
    models = compiled(profile)
    built: set[str] = set()
    for schema in {body[0].partition(".")[0] for body in models.values()} | {"release_account"}:
        connection.execute(f"create schema if not exists {schema}")
    for name, table in given.items():
        connection.register("given", table)
        place = models[name][0] if name in models else name
        connection.execute(f"create table {place} as from given")
        connection.unregister("given")
        built.add(name)

    def build(name: str) -> None:
        if name in built:
            return
        place, sql, parents = models[name]
        for parent in parents:
            build(parent)
        connection.execute(f"create table {place} as {sql}")
        built.add(name)

    for name in wanted:
        build(name)
    return connection


def release_of(
    persons: Mapping[str, Person], profile: str = "open", *wanted: str
) -> duckdb.DuckDBPyConnection:
    """Release a population, given as it stands after the bands."""
    stays = [
        (f"{key}-{number}", key, number, stay)
        for key, (_, _, history) in persons.items()
        for number, stay in enumerate(history, start=1)
    ]
    rows: dict[str, list[dict[str, Any]]] = {
        "int_release__persons": [
            {
                "person_key": key,
                "sex_code": sex,
                "age_band": age,
                "zip3": "100",
                "observation_end_band": ">180",
                "censoring_code": "year_end",
                "visit_year": 2024,
                "stays_count": len(history),
            }
            for key, (sex, age, history) in persons.items()
        ],
        "int_release__visits": [
            {
                "stay_key": stay_key,
                "person_key": key,
                "peer_group_code": "other",
                "acuity_code": "3",
                "arrival_mode_code": "unknown",
                "outcome_code": outcome,
                "interval_band": interval,
                "length_of_stay_band": "<2h",
                "every_codes": "+".join(sorted(codes[1:]) + [f"*{code}" for code in codes[:1]]),
                "ccsr_codes": codes[0] if codes else "",
                "chapter_codes": codes[0][0] if codes else "",
                "none_codes": "",
                "stay_number": number,
            }
            for stay_key, key, number, (interval, codes, outcome) in stays
        ],
        "int_release__diagnoses": [
            {
                "stay_key": stay_key,
                "person_key": key,
                "stay_number": number,
                "fine_level_code": "ccsr",
                "fine_code": code,
                "fine_name": code,
                "chapter_level_code": "chapter",
                "chapter_code": code[0],
                "chapter_name": code[0],
                "is_main": code == codes[0],
            }
            for stay_key, key, number, (_, codes, _) in stays
            for code in codes
        ],
    }
    schemas = {
        "int_release__persons": PERSONS,
        "int_release__visits": VISITS,
        "int_release__diagnoses": DIAGNOSES,
    }
    given = {
        name: pa.Table.from_pylist(body, schema=pa.schema(list(schemas[name].items())))
        for name, body in rows.items()
    }
    return run_models(profile, given, *(wanted or ("release_risks", "release_diagnoses")))


def random_population(seed: int, size: int) -> dict[str, Person]:
    """Draw persons whose histories repeat often enough that some are released and some are not."""
    draw = random.Random(seed)
    persons: dict[str, Person] = {}
    for number in range(size):
        stays: list[Stay] = []
        for stay_number in range(draw.choice((1, 1, 1, 2, 2, 3))):
            codes = draw.sample(("A1", "A2", "B1", "C1"), draw.choice((0, 1, 1, 1, 2)))
            stays.append(
                (
                    draw.choice(("1-3", "31-180")) if stay_number else None,
                    tuple(codes),
                    draw.choice(("home", "home", "home", "hospital", "other")),
                )
            )
        persons[f"p{number}"] = (draw.choice("FFFM"), draw.choice(("18-29", "90+")), tuple(stays))
    return persons
