"""PostgreSQL as a source, against a real server: what is refused, and in which words."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from governance.errors import SourceError
from tests.helpers.postgres import (
    ID,
    KINDS,
    VISITS,
    column,
    dsn_of,
    profile_of,
    rows_of,
    run,
    source_of,
    table_of,
)

pytestmark = pytest.mark.integration

SECRET = "s3cr3t-pw"


def test_undeclared_and_free_text_columns_are_not_even_asked_for(
    pg_data: Path, pg_dsn: str, visits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = ", ".join(column.name for column in VISITS.read_columns)
    run(
        pg_dsn,
        "drop role if exists reader",
        "create role reader login",
        f"grant select ({declared}) on visits to reader",
    )
    with source_of(monkeypatch, dsn_of(pg_data, user="reader")) as source:
        assert profile_of(source, VISITS)["2024-05"].row_count == 1
        (row,) = rows_of(source, VISITS, "2024-05")
    run(pg_dsn, "drop owned by reader", "drop role reader")
    assert set(row) == {"id", "name", "code", "beds", "cost", "at", "updated_at"}


def test_types_that_cannot_be_the_declared_ones_are_named(
    pg_dsn: str, kinds: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with source_of(monkeypatch, pg_dsn) as source:
        found = source.columns("kinds")
        assert source.check_types(KINDS, found) == []
        assert found["internal_note"] == "text"
        assert found["words"] == "character varying(9)"
        wrong = table_of(
            "kinds",
            ID,
            column("words", "int"),
            column("born", "timestamp"),
            column("at", "date"),
            # A local clock without its zone is no instant.
            column("clock", "timestamp"),
            column("amount", "bigint"),
            column("plain", "string"),
            column("flag", "int"),
            column("small", "decimal(4,0)"),
            column("absent", "string"),
        )
        assert source.check_types(wrong, found) == [
            "words",
            "born",
            "at",
            "clock",
            "amount",
            "plain",
            "flag",
        ]
        narrow = table_of("kinds", column("id", "int"))
        assert source.check_types(narrow, found) == ["id"]


def test_a_missing_table_or_column_is_said(
    pg_dsn: str, kinds: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with source_of(monkeypatch, pg_dsn) as source:
        assert source.columns("nowhere") == {}
        with pytest.raises(SourceError, match=r"^Source ehr, table nowhere: the table is not"):
            source.profile(table_of("nowhere", ID))
        with pytest.raises(SourceError, match=r"table kinds: a declared column is not there"):
            rows_of(source, table_of("kinds", ID, column("absent", "string")))
    with source_of(monkeypatch, pg_dsn, schema='no"such') as source:
        assert source.columns("kinds") == {}


def test_hidden_rows_and_missing_grants_are_refused(
    pg_data: Path, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        pg_dsn,
        "drop role if exists onlooker",
        "create role onlooker login",
        "create table closed (id bigint)",
        "create table curtained (id bigint)",
        "insert into curtained values (1), (2)",
        "alter table curtained enable row level security",
        "create policy half on curtained using (id = 1)",
        "grant select on curtained to onlooker",
    )
    for table in ("closed", "curtained"):
        with (
            source_of(monkeypatch, dsn_of(pg_data, user="onlooker")) as source,
            pytest.raises(SourceError, match=f"table {table}: the role may not read all of it"),
        ):
            source.profile(table_of(table, ID))


def test_a_query_that_takes_too_long_is_said(
    pg_data: Path, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(pg_dsn, "create view slow as select 1::bigint as id from pg_sleep(60)")
    limited = dsn_of(pg_data, options="-cstatement_timeout%3D1000")
    with (
        source_of(monkeypatch, limited) as source,
        pytest.raises(SourceError, match=r"table slow: .* raise statement_timeout for this role"),
    ):
        source.profile(table_of("slow", ID))


def test_a_server_that_gives_up_half_way_is_no_shorter_table(
    pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        pg_dsn,
        "create view brittle as select g::bigint / (g <> 700000)::int as id"
        " from generate_series(1, 800000) as g",
    )
    with source_of(monkeypatch, pg_dsn) as source:
        batches = source.read(table_of("brittle", ID), "all")
        assert next(batches).rows.num_rows > 0
        with pytest.raises(SourceError, match=r"table brittle: the server ended a query half-way"):
            list(batches)


def test_a_killed_connection_is_no_shorter_table(
    pg_data: Path, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        pg_dsn,
        "create table long as select g::bigint as id, repeat('x', 200) as words"
        " from generate_series(1, 300000) as g",
    )
    table = table_of("long", ID, column("words", "string"))
    with source_of(monkeypatch, dsn_of(pg_data, application_name="doomed")) as source:
        batches = source.read(table, "all")
        read = next(batches).rows.num_rows
        killed = run(
            pg_dsn,
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'doomed' and query like 'COPY%long%'",
        )
        assert killed == [(True,)]
        with pytest.raises(SourceError, match=r"table long: the connection broke off") as caught:
            for batch in batches:
                read += batch.rows.num_rows
        assert 0 < read < 300_000
        assert "xxx" not in str(caught.value)
        # The others still hold the snapshot.
        assert sum(len(batch.rows) for batch in source.read(table, "all")) == 300_000


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (f"postgresql://alice:{SECRET}@127.0.0.1:1/ehr", "the server cannot be reached"),
        (f"postgresql://alice:{SECRET}/x@127.0.0.1/ehr", "the server cannot be reached"),
        (f"host=127.0.0.1 port=1 password={SECRET}", "the server cannot be reached"),
        (SECRET, "the server cannot be reached"),
        (f"postgresql://postgres:{SECRET}@/nodb?host={{data}}", "has no such database"),
        (f"postgresql://nobody:{SECRET}@/postgres?host={{data}}", "has no such user"),
        (f"postgresql://locked:{SECRET}@/postgres?host={{data}}", "refuses the user or the pass"),
        ("postgresql://locked@/postgres?host={data}", "refuses the user or the pass"),
    ],
)
def test_no_connection_is_one_sentence_without_the_secret(
    pg_data: Path, locked: None, monkeypatch: pytest.MonkeyPatch, bad: str, words: str
) -> None:
    with (
        pytest.raises(SourceError) as caught,
        source_of(monkeypatch, bad.replace("{data}", str(pg_data))),
    ):
        pass
    text = str(caught.value)
    assert re.fullmatch(r"Source ehr: [^.]+ string in SCUTARI_TEST_DSN\.", text)
    assert words in text
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in text + shown
    assert caught.value.__context__ is None


@pytest.fixture
def locked(pg_data: Path, pg_dsn: str) -> Iterator[None]:
    """A role that must give a password."""
    rules = pg_data / "pg_hba.conf"
    before = rules.read_text()
    run(pg_dsn, "create role locked login password 'another'")
    rules.write_text("local all locked scram-sha-256\n" + before)
    run(pg_dsn, "select pg_reload_conf()")
    yield
    rules.write_text(before)
    run(pg_dsn, "select pg_reload_conf()", "drop role locked")


def test_a_closed_source_says_so(pg_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(monkeypatch, pg_dsn)
    for attempt in (lambda: source.taken_at, lambda: source.columns("kinds")):
        with pytest.raises(SourceError, match="is not open"):
            attempt()
