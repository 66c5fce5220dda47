"""PostgreSQL as a source, against a real server: which values arrive, and how."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from extract.contracts import TableContract
from extract.sources.base import BATCH_ROWS
from extract.sources.postgres import PostgresSource
from tests.helpers.postgres import (
    ID,
    KINDS,
    column,
    dsn_of,
    rows_of,
    run,
    source_of,
    table_of,
)

pytestmark = pytest.mark.integration

# 1850-01-01 and 2300-01-01: between them an instant is plausible.
PLAUSIBLE = (-43_830, 120_530)
DAY = 86_400_000_000


def _read(source: PostgresSource, table: TableContract) -> pa.RecordBatch:
    (batch,) = source.read(table, "all")
    assert batch.misfits == ()
    return batch.rows


def test_every_wire_type_is_the_documented_one(
    pg_dsn: str, kinds: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with source_of(monkeypatch, pg_dsn) as source:
        rows = _read(source, KINDS)
    text, instant = pa.string(), pa.timestamp("us", tz="UTC")
    assert rows.schema.names == [column.name for column in KINDS.columns]
    assert rows.schema.types == [
        pa.int64(),
        *[text] * 4,
        pa.int16(),
        pa.int32(),
        pa.bool_(),
        *[text] * 2,
        instant,
        pa.timestamp("us"),
        pa.date32(),
    ]
    assert all(field.metadata is None for field in rows.schema)
    assert rows.schema.metadata is None


def test_values_arrive_exactly(pg_dsn: str, kinds: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with source_of(monkeypatch, pg_dsn) as source:
        first, empty = _read(source, KINDS).slice(0, 2).to_pylist()
    assert first == {
        "id": 1,
        "words": "Zoë",
        "code": "I21",
        "token": "0e37df36-f698-11e6-8dd4-cb9ced3df976",
        "status": "open",
        "small": -7,
        "plain": 70000,
        "flag": True,
        "amount": "12.50",
        "exact": "12345678901234567890123456789012345.678",
        "at": datetime(2024, 6, 1, 12, tzinfo=UTC),
        "clock": datetime(2024, 6, 1, 8),
        "born": date(1820, 5, 12),
    }
    assert empty == {"id": 2} | dict.fromkeys(list(first)[1:])


def test_what_is_no_number_stays_text(
    pg_dsn: str, kinds: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with source_of(monkeypatch, pg_dsn) as source:
        rows = _read(source, KINDS)
    assert rows["amount"].to_pylist()[2:4] == ["NaN", "-0.05"]
    assert rows["exact"].to_pylist()[2:6] == [
        "Infinity",
        "-Infinity",
        "0.000000000000000000000000000001",
        "NaN",
    ]


def test_infinity_and_far_years_are_never_plausible(
    pg_dsn: str, kinds: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with source_of(monkeypatch, pg_dsn) as source:
        rows = _read(source, KINDS).slice(2)
    days = rows["born"].cast(pa.int32()).to_pylist()
    assert days[2] == (date(9999, 12, 31) - date(1970, 1, 1)).days
    # The Ides of March were Julian day 1,705,426 and 1970-01-01 was 2,440,588. PostgreSQL counts
    # the Gregorian calendar backwards, where the day of that name is two days later.
    assert days[3] == 1_705_426 + 2 - 2_440_588
    for name, unit in (("born", 1), ("at", DAY), ("clock", DAY)):
        values = rows[name].cast(pa.int32() if unit == 1 else pa.int64()).to_pylist()
        assert len(values) == 5
        for value in values:
            assert not PLAUSIBLE[0] * unit <= value < PLAUSIBLE[1] * unit, name


def test_latin_1_arrives_as_unicode(
    pg_data: Path, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(pg_dsn, "create database latin encoding 'LATIN1' locale 'C' template template0")
    other = dsn_of(pg_data, database="latin")
    run(other, "create table names (id bigint, word text)", "insert into names values (1, 'Zoë')")
    with source_of(
        monkeypatch, dsn_of(pg_data, database="latin", client_encoding="LATIN1")
    ) as source:
        rows = rows_of(source, table_of("names", ID, column("word", "string")))
    assert rows == [{"id": 1, "word": "Zoë"}]


def test_a_large_period_comes_in_batches(pg_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 2 * BATCH_ROWS + 1
    run(
        pg_dsn, f"create table many as select g::bigint as id from generate_series(1, {count}) as g"
    )
    with source_of(monkeypatch, pg_dsn) as source:
        sizes = [batch.rows.num_rows for batch in source.read(table_of("many", ID), "all")]
    assert sum(sizes) == count
    assert max(sizes) <= BATCH_ROWS
