"""Names and record numbers planted in every column of the operational databases, and looked for.

A clerk can write anything into any field: a name into a department, a record number into a code, an
e-mail address into a complaint. After a night's run and a release it may stand in the vault and the
restricted zone, and nowhere else: not in a file, its name or its metadata, not in the free blocks
of a database, not in a log or on the screen.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from demo.network import plant_network
from extract.contract_files import load_contracts
from governance.settings import PROJECT_ROOT, load_settings
from tests.helpers.reviews import review_at_random

pytestmark = pytest.mark.integration

NAME = "quillfeather"
NUMBER = "7734099112"
CANARIES = (f"{NAME}@example.org", f"Ms {NAME.title()}", NUMBER)
MANY = 1200
# What organisations call themselves is for everybody to read; and who breaks a row of theirs takes
# all of a hospital out, which stops the build.
ORGANISATIONS = {"hospitals", "feeds", "payers", "providers"}
FIT_FOR_ORGANISATIONS = {"identifier"}
ZONES_THAT_MAY = ("vault", "restricted", "sources", "demo", "chart_audit")


@dataclass(frozen=True)
class Night:
    """One installation after a run and a release, and what was said on the screen."""

    home: Path
    planted: list[str]
    said: str


def _plant(database: Path, source: str) -> list[str]:
    """Write a canary into every column, each in a row of its own."""
    planted = []
    with sqlite3.connect(database) as connection:
        for table in load_contracts(PROJECT_ROOT)[source].tables.values():
            keys = [
                row[0]
                for row in connection.execute(f"select rowid from {table.name} order by rowid")
            ]
            row = len(keys) // 3
            # More than one in twenty rows in quarantine stops the build.
            canaries = CANARIES if len(keys) > MANY else CANARIES[:1]
            for column in table.columns:
                if table.name in ORGANISATIONS and column.privacy not in FIT_FOR_ORGANISATIONS:
                    continue
                for canary in canaries:
                    if canary == NUMBER and column.is_summed:
                        continue  # a number among numbers: nobody can tell it from an amount
                    row += 1
                    try:
                        connection.execute(
                            f"update {table.name} set {column.name} = ? where rowid = ?",
                            (canary, keys[row]),
                        )
                    except sqlite3.Error:
                        continue  # the database itself refuses it
                    planted.append(f"{source}.{table.name}.{column.name}: {canary}")
    return planted


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    home = tmp_path_factory.mktemp("canaries") / "home"
    plant_network(home, visits=10_000)
    # A reviewer's name and a comment are for the store alone.
    review_at_random(load_settings(home))
    planted = [
        name
        for source in ("ehr", "billing")
        for name in _plant(home / "sources" / f"{source}.sqlite", source)
    ]
    said = ""
    for command in (["run"], ["release", "open"], ["status"], ["verify"]):
        done = subprocess.run(
            [sys.executable, "-m", "ops.cli", *command],
            cwd=PROJECT_ROOT,
            env=os.environ | {"SCUTARI_HOME": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )
        said += done.stdout + done.stderr
        assert done.returncode == 0, done.stderr[-3000:]
    return Night(home, planted, said)


def _texts(path: Path) -> Iterator[str]:
    """All that a file says: its name, its bytes, and what a reader of its format finds."""
    yield path.name
    yield path.read_bytes().decode("latin-1")
    if path.suffix == ".parquet":
        file = pq.ParquetFile(path)
        yield str(file.metadata.to_dict())
        yield str(file.schema_arrow.metadata)
        yield from (str(batch.to_pydict()) for batch in file.iter_batches())
    if path.suffix == ".duckdb":
        with duckdb.connect(str(path), read_only=True) as connection:
            for schema, table in connection.execute(
                "select schema_name, table_name from duckdb_tables()"
            ).fetchall():
                yield str(connection.execute(f'select * from "{schema}"."{table}"').fetchall())


def _says(text: str) -> bool:
    return NAME in text.lower() or NUMBER in text


def test_enough_was_planted(night: Night) -> None:
    assert len(night.planted) > 300
    for column in ("ehr.ed_visits.chief_complaint", "ehr.patients.last_name", "claims.billing_npi"):
        assert any(column in name for name in night.planted)


def test_the_vault_and_the_quarantine_have_them(night: Night) -> None:
    """The search itself works: what it looks for is there where it may be."""
    for zone in ("sources", "restricted", "chart_audit"):
        files = [path for path in (night.home / zone).rglob("*") if path.is_file()]
        assert any(_says(text) for path in files for text in _texts(path)), zone


def test_no_other_file_says_them(night: Night) -> None:
    found = [
        str(path.relative_to(night.home))
        for path in sorted(night.home.rglob("*"))
        if path.relative_to(night.home).parts[0] not in ZONES_THAT_MAY
        and path.is_file()
        and any(_says(text) for text in _texts(path))
    ]
    assert found == []


def test_nothing_on_the_screen_says_them(night: Night) -> None:
    assert not _says(night.said)


def test_the_logs_of_the_build_do_not_say_them(night: Night) -> None:
    """They lie in the restricted zone, and still hold no value."""
    logs = [path for path in (night.home / "restricted" / "build").rglob("*") if path.is_file()]
    assert logs
    assert [path.name for path in logs if any(_says(text) for text in _texts(path))] == []
