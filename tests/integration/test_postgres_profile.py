"""PostgreSQL as a source, against a real server: what it counts is what it reads."""

from __future__ import annotations

from decimal import Decimal

import pytest
from adbc_driver_postgresql import dbapi

from extract.sources import postgres_sql as sql
from extract.sources.base import PartitionProfile
from tests.helpers.postgres import (
    ID,
    OLD,
    VISITS,
    column,
    ids_of,
    profile_of,
    rows_of,
    run,
    source_of,
    table_of,
)

pytestmark = pytest.mark.integration


def test_profile_is_what_a_person_counts(
    pg_dsn: str, visits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with source_of(monkeypatch, pg_dsn) as source:
        assert source.profile(VISITS).duplicate_keys == 0
        found = profile_of(source, VISITS)
    ranges = {p: (x.row_count, x.key_minimum, x.key_maximum) for p, x in found.items()}
    assert ranges == {
        "2024-05": (1, 1, 1),
        "2024-06": (4, -3, 5),
        "none": (5, 6, 10),
        "0001-01": (1, 11, 11),
        "9999-12": (1, 12, 12),
    }
    none_null = {"id": 0, "code": 0, "beds": 0, "cost": 0, "at": 0, "updated_at": 0}
    assert found["2024-05"].null_counts == none_null
    assert found["2024-06"].null_counts == none_null | {"beds": 1, "cost": 1, "updated_at": 1}
    assert found["none"].null_counts == none_null | {"at": 1}
    # 2 + 2147483647 + 2147483647, and 0.20 + 99999999.99 without the NaN.
    assert found["2024-06"].sums == {"beds": 4_294_967_296, "cost": Decimal("100000000.19")}
    assert found["2024-05"].sums == {"beds": 1, "cost": Decimal("0.10")}


def test_each_period_reads_the_rows_it_counted(
    pg_dsn: str, visits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with source_of(monkeypatch, pg_dsn) as source:
        read = {
            period: ids_of(source, VISITS, period)
            for period in (*profile_of(source, VISITS), "2024-04", "2024-07")
        }
    assert read == {
        "2024-05": {1},
        "2024-06": {2, -3, 4, 5},
        "none": {6, 7, 8, 9, 10},
        "0001-01": {11},
        "9999-12": {12},
        "2024-04": set(),
        "2024-07": set(),
    }


def test_a_period_is_found_by_the_index(pg_dsn: str) -> None:
    run(
        pg_dsn,
        "create table indexed (id bigint, at timestamptz, clock timestamp)",
        "insert into indexed select g, timestamptz '2020-01-01' + g * interval '1 hour',"
        " timestamp '2020-01-01' + g * interval '1 hour' from generate_series(1, 30000) as g",
        "create index on indexed (at)",
        "create index on indexed (clock)",
        "analyze indexed",
    )
    types = {"id": "bigint", "at": sql.INSTANT, "clock": sql.LOCAL_CLOCK}
    columns = (
        ID,
        column("at", "timestamp"),
        column("clock", "timestamp", time_zone="America/Toronto"),
    )
    for partition_by in ("at", "clock"):
        table = table_of("indexed", *columns, partition_by=partition_by)
        for period in ("2022-02", "none"):
            query = sql.read_query(table, "indexed", types, period)
            plan = _explain(pg_dsn, query)
            assert f"indexed_{partition_by}_idx" in plan
            assert "Seq Scan" not in plan


def _explain(pg_dsn: str, query: str) -> str:
    with dbapi.connect(pg_dsn) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})
        cursor.execute(f"explain {query}")
        return str(cursor.fetchall())


def test_local_clocks_belong_to_their_month_in_utc(
    pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        pg_dsn,
        "create table clocks (id bigint, at timestamp)",
        # Toronto is four hours behind UTC in summer and five in winter.
        "insert into clocks values (1, '2024-05-31 19:59:59'), (2, '2024-05-31 20:00:00'),"
        " (3, '2024-06-30 19:59:59'), (4, '2024-12-31 18:59:59'), (5, '2024-12-31 19:00:00'),"
        " (6, 'infinity'), (7, null), (8, '0044-03-15 BC'), (9, '294276-12-31 23:59:59')",
    )
    at = column("at", "timestamp", time_zone="America/Toronto")
    table = table_of("clocks", ID, at, partition_by="at")
    expected = {
        "2024-05": {1},
        "2024-06": {2, 3},
        "2024-12": {4},
        "2025-01": {5},
        "none": {6, 7, 8, 9},
    }
    with source_of(monkeypatch, pg_dsn) as source:
        found = profile_of(source, table)
        assert {period: found[period].row_count for period in found} == {
            period: len(ids) for period, ids in expected.items()
        }
        for period, ids in expected.items():
            assert ids_of(source, table, period) == ids


def test_dates_can_divide_a_table(pg_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run(
        pg_dsn,
        "create table days (id bigint, on_day date)",
        "insert into days values (1, '2024-05-31'), (2, '2024-06-01'), (3, '2024-06-30'),"
        " (4, null), (5, 'infinity'), (6, '5874897-12-31'), (7, '4713-01-01 BC')",
    )
    table = table_of("days", ID, column("on_day", "date"), partition_by="on_day")
    expected = {"2024-05": {1}, "2024-06": {2, 3}, "none": {4, 5, 6, 7}}
    with source_of(monkeypatch, pg_dsn) as source:
        assert {p: x.row_count for p, x in profile_of(source, table).items()} == {
            period: len(ids) for period, ids in expected.items()
        }
        for period, ids in expected.items():
            assert ids_of(source, table, period) == ids


def test_text_keys_are_ranged_in_byte_order(pg_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run(
        pg_dsn,
        'create table words (id text collate "unicode")',
        "insert into words values ('b'), ('A'), ('a'), ('Z'), ('é')",
    )
    table = table_of("words", column("id", "string"))
    with source_of(monkeypatch, pg_dsn) as source:
        (profile,) = source.profile(table).partitions
    assert (profile.period, profile.row_count) == ("all", 5)
    assert (profile.key_minimum, profile.key_maximum) == ("A", "é")


def test_an_empty_table_has_no_key_and_no_rows(
    pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(pg_dsn, "create table nothing (id bigint, beds integer)")
    table = table_of("nothing", ID, column("beds", "int"))
    with source_of(monkeypatch, pg_dsn) as source:
        assert source.profile(table).partitions == (
            PartitionProfile("all", 0, None, None, {"id": 0, "beds": 0}, {"beds": 0}, ""),
        )
        assert rows_of(source, table) == []


def test_cursor_state_shows_every_change(
    pg_dsn: str, visits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def state() -> str:
        with source_of(monkeypatch, pg_dsn) as source:
            return profile_of(source, VISITS)["2024-06"].cursor_state

    states = [state()]
    assert state() == states[0]
    for change in (
        # Neither the least nor the greatest, an exchange of two, and one that leaves.
        "update visits set updated_at = '2024-07-01 12:00+00' where id = 4",
        "update visits set updated_at = case id when 2 then timestamptz '2024-07-01 12:00+00'"
        f" else {OLD} end where id in (2, 4)",
        "update visits set updated_at = null where id = 4",
    ):
        run(pg_dsn, change)
        states.append(state())
    assert len(set(states)) == 4


@pytest.mark.parametrize(
    "statements",
    [
        ["create table {t} (id bigint)"],
        # An index on some of the rows, or on more than the key, vouches for too little.
        ["create table {t} (id bigint)", "create unique index on {t} (id) where id > 5"],
        ["create table {t} (id bigint, b int)", "create unique index on {t} (id, b)"],
    ],
)
def test_keys_that_are_there_twice_are_counted(
    pg_dsn: str, monkeypatch: pytest.MonkeyPatch, statements: list[str]
) -> None:
    rows = "insert into twice (id) values (1), (1), (1), (2), (3), (3), (null), (null)"
    run(
        pg_dsn, "drop table if exists twice", *[line.format(t="twice") for line in statements], rows
    )
    with source_of(monkeypatch, pg_dsn) as source:
        profile = source.profile(table_of("twice", ID))
    assert profile.duplicate_keys == 2
    assert profile.partitions[0].null_counts == {"id": 2}


def test_a_primary_key_does_not_vouch_for_the_tables_that_inherit(
    pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        pg_dsn,
        "create table elder (id bigint primary key, beds integer)",
        "alter table elder add constraint some_beds not null beds no inherit",
        "create table heir () inherits (elder)",
        "insert into elder values (1, 1), (2, 2)",
        "insert into heir values (1, null), (3, 3)",
    )
    with source_of(monkeypatch, pg_dsn) as source:
        profile = source.profile(table_of("elder", ID, column("beds", "int")))
    assert profile.duplicate_keys == 1
    assert profile.partitions[0].row_count == 4
    assert profile.partitions[0].null_counts == {"id": 0, "beds": 1}
