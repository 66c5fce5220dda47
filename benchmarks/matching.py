"""Matching of registrations: wall time, peak memory, precision and recall; 1 M of them by default.

Registrations are planted as rows and read from a plain Parquet file, so that what is measured is
standardising, blocking, scoring and clustering, and not the vault's decryption.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import measure
from demo.billing_tables import Book
from demo.ehr_tables import patients_chunks
from demo.plans import default_plan
from demo.world import World, build_world
from extract.identity.matching.decisions import Standing
from extract.identity.matching.grouping import group_registrations
from extract.identity.matching.standard import RAW_COLUMNS

SEED = 20_260
MEMORY_LIMIT = "1GB"
_REGISTRATIONS = 1_000_000
_ROWS = """
    select '{source}' as source_name, {key}::varchar as registration_id,
        '{source}' || {key}::varchar as registration_key, {unidentified} as is_unidentified,
        health_number, birth_date, first_name, last_name, {phone} as phone, {address} as address,
        postal_code
    from rows
"""
_SOURCES = {
    "ehr": ("patient_id", "identity_status_code = 'unidentified'", "phone", "address_line"),
    "billing": ("member_id", "false", "null", "null"),
}
_QUALITY = """
    with known as (
        select g.group_key, t.person
        from grouped as g
        inner join read_parquet($truth) as t using (registration_key)
        where t.person >= 0
    ), sizes as (
        select
            (select sum(n * (n - 1) / 2) from (
                select count(*) as n from known group by group_key, person)) as found,
            (select sum(n * (n - 1) / 2) from (
                select count(*) as n from known group by group_key)) as joined,
            (select sum(n * (n - 1) / 2) from (
                select count(*) as n from known group by person)) as planted
    )
    select found / joined, found / planted from sizes
"""


def main(home: Path, rows: int | None) -> Iterator[str]:
    """Plant once, then match in a process of its own."""
    if not (home / "truth.parquet").exists():
        plant(home, rows or _REGISTRATIONS)
    body = "import sys; from pathlib import Path; from benchmarks.matching import match; "
    body += "print(match(Path(sys.argv[1])))"
    done = measure.run([sys.executable, "-c", body, str(home)])
    yield f"matching {done.wall:6.0f} s {done.cpu:6.0f} s CPU {done.peak_mb:8.0f} MB"
    yield done.output.strip()


def plant(home: Path, registrations: int) -> None:
    """Write registrations and the true person of each."""
    world = build_world(default_plan(round(registrations * 0.983)), SEED)
    book = Book(world)
    members = book._members(np.arange(len(book.members)))
    parts: dict[str, list[pa.Table]] = {
        "ehr": list(patients_chunks(world)),
        "billing": [members],
    }
    with duckdb.connect(":memory:") as connection:
        for source, (key, unidentified, phone, address) in _SOURCES.items():
            query = _ROWS.format(
                source=source, key=key, unidentified=unidentified, phone=phone, address=address
            )
            for number, part in enumerate(parts[source]):
                connection.register("rows", part)
                path = home / f"{source}-{number}.parquet"
                connection.execute(f"copy ({query}) to '{path}' (format parquet)")
    pq.write_table(_truth(world, book, members), home / "truth.parquet")


def _truth(world: World, book: Book, members: pa.Table) -> pa.Table:
    patients = pa.concat_tables(patients_chunks(world))["patient_id"]
    known = world.registrations
    person = np.where(known.is_unidentified, -1, known.person)
    keys = [f"ehr{key}" for key in patients.slice(0, len(known)).to_pylist()]
    keys += [f"billing{key}" for key in members["member_id"].to_pylist()]
    return pa.table(
        {"registration_key": keys, "person": np.concatenate([person, book.members.person])}
    )


def match(home: Path) -> str:
    """Match what was planted; return the figures."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
        connection.execute("set threads = 2")
        connection.execute("set enable_progress_bar = false")
        connection.execute("set temp_directory = $1", [str(home / "spill")])
        connection.execute(f"create temp table registrations ({RAW_COLUMNS})")
        for source in _SOURCES:
            connection.execute(
                "insert into registrations by name select * from "
                f"read_parquet('{home / source}-*.parquet')"
            )
        figures = group_registrations(
            connection, method="probabilistic", standing=Standing(), review=home / "review"
        )
        precision, recall = connection.execute(
            _QUALITY, {"truth": str(home / "truth.parquet")}
        ).fetchall()[0]
    return (
        f"{figures.registrations:,} registrations, precision {precision:.6f}, recall {recall:.4f}, "
        f"{figures.to_review:,} pairs to review"
    )
