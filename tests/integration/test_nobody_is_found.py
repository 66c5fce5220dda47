"""After the whole job no identifier and no quarantined value lies outside vault and restricted."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from governance.settings import Settings
from tests.helpers.vault import current_vault, read_vault

pytestmark = pytest.mark.integration

# Where raw values belong: the hospital's own databases, the ledger of the demo, the two zones.
PRIVATE = {"sources", "demo", "vault", "restricted"}
IDENTIFIERS = {
    "ehr": {
        "patients": ("mrn", "health_number", "address_line", "phone", "email"),
        "providers": ("npi", "provider_name"),
        "ed_visits": ("visit_number",),
    },
    "billing": {"members": ("subscriber_number", "health_number"), "claims": ("claim_number",)},
}
WORD = re.compile(rb"[A-Za-z0-9@._+-]{6,}")


@pytest.fixture(scope="module")
def identifiers(demo_settings: Settings) -> set[str]:
    found: set[str] = set()
    for source, tables in IDENTIFIERS.items():
        path = demo_settings.home / "sources" / f"{source}.sqlite"
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            for table, columns in tables.items():
                for column in columns:
                    rows = connection.execute(f"select distinct {column} from {table}")
                    found |= {row[0] for row in rows if row[0] is not None}
    ledger = pl.read_parquet(demo_settings.home / "demo" / "bad_values.parquet")
    found |= set(ledger["sqlite"]) - {"Z99.999X"}
    assert len(found) > 10_000
    return found


def _files(home: Path) -> Iterator[Path]:
    """What others may read, and the build's artifacts, which only an error may taint."""
    for path in sorted(home.rglob("*")):
        parts = path.relative_to(home).parts
        if path.is_file() and (parts[0] not in PRIVATE or parts[:2] == ("restricted", "build")):
            yield path


def test_no_table_of_any_zone_holds_an_identifier(
    demo_settings: Settings, identifiers: set[str]
) -> None:
    looked_at = 0
    for path in _files(demo_settings.home):
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            columns = [table[f.name] for f in table.schema if str(f.type) == "string"]
            for column in columns:
                assert not identifiers & set(column.unique().to_pylist()), path
                looked_at += 1
        elif path.suffix == ".duckdb":
            looked_at += _look_at_database(path, identifiers)
    assert looked_at > 500


def _look_at_database(path: Path, identifiers: set[str]) -> int:
    with duckdb.connect(str(path), read_only=True) as connection:
        columns = connection.execute(
            "select table_schema, table_name, column_name from information_schema.columns "
            "where data_type = 'VARCHAR'"
        ).fetchall()
        for schema, table, column in columns:
            query = f'select distinct "{column}" from "{schema}"."{table}"'
            values = {row[0] for row in connection.execute(query).fetchall()}
            assert not identifiers & values, (path.name, schema, table, column)
    return len(columns)


def test_no_log_no_target_and_no_name_of_a_file_holds_an_identifier(
    demo_settings: Settings, identifiers: set[str]
) -> None:
    words = {word for text in identifiers for word in WORD.findall(text.encode())}
    # Words of addresses and names are words of the language too: only numbers name somebody.
    words = {word for word in words if sum(48 <= byte <= 57 for byte in word) >= 6}
    assert len(words) > 5_000
    looked_at = 0
    for path in _files(demo_settings.home):
        assert not words & set(WORD.findall(str(path.relative_to(demo_settings.home)).encode()))
        if path.suffix not in (".parquet", ".duckdb"):
            found = words & set(WORD.findall(path.read_bytes()))
            assert not found, path
            looked_at += 1
    assert looked_at > 20


def test_the_private_zones_are_the_owner_s_alone(demo_settings: Settings) -> None:
    for zone in (demo_settings.vault, demo_settings.restricted):
        assert zone.stat().st_mode & 0o077 == 0, zone
    assert (demo_settings.vault / "token.key").stat().st_mode & 0o177 == 0


def test_what_is_hidden_is_in_the_private_zones(
    demo_settings: Settings, identifiers: set[str]
) -> None:
    """The search above would find them: it does where they belong."""
    patients = read_vault(current_vault(demo_settings), "ehr/patients/all.parquet")
    assert set(patients["mrn"]) <= identifiers
    quarantine = demo_settings.restricted / "quarantine"
    values = {
        value
        for path in quarantine.rglob("*.parquet")
        for value in pl.read_parquet(path)["raw_value"]
    }
    assert "headache, call mary.smith@example.org" in values & identifiers
