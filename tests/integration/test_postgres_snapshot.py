"""PostgreSQL as a source, against a real server: one state of the database, for every thread."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from governance.errors import SourceError
from tests.helpers.postgres import (
    VISITS,
    dsn_of,
    ids_of,
    profile_of,
    run,
    source_of,
)

pytestmark = pytest.mark.integration


def test_what_is_committed_later_is_seen_by_no_thread(
    pg_dsn: str, visits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = datetime.now(UTC)
    with source_of(monkeypatch, pg_dsn) as source:
        run(
            pg_dsn,
            "insert into visits (id, code, at) values (99, 'late', '2024-06-20 00:00+00')",
            "update visits set code = 'late' where id = 2",
            "delete from visits where id = 4",
        )
        assert abs(source.taken_at - before) < timedelta(minutes=1)
        assert source.taken_at.utcoffset() == timedelta(0)
        assert profile_of(source, VISITS)["2024-06"].row_count == 4
        both = threading.Barrier(source.parallelism, timeout=60)

        def read(_: int) -> tuple[set[int], set[str]]:
            ids: set[int] = set()
            codes: set[str] = set()
            for batch in source.read(VISITS, "2024-06"):
                # Both hold a connection now: they cannot be the same one.
                both.wait()
                ids.update(batch.rows["id"].to_pylist())
                codes.update(batch.rows["code"].to_pylist())
            return ids, codes

        with ThreadPoolExecutor(source.parallelism) as pool:
            found = list(pool.map(read, range(source.parallelism)))
    assert found == [({2, -3, 4, 5}, {"a", "b"})] * 2
    with source_of(monkeypatch, pg_dsn) as source:
        assert ids_of(source, VISITS, "2024-06") == {2, -3, 5, 99}


@pytest.mark.parametrize(
    "change",
    [
        "truncate swept",
        "alter table swept alter id type text",
        "drop table swept; create table swept (id bigint)",
    ],
)
def test_a_table_emptied_after_the_snapshot_does_not_pass_for_empty(
    pg_dsn: str, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    run(
        pg_dsn,
        "drop table if exists swept",
        "create table swept (id bigint)",
        "insert into swept values (1)",
    )
    with source_of(monkeypatch, pg_dsn) as source:
        run(pg_dsn, *change.split("; "))
        with pytest.raises(SourceError, match=r"swept: it was emptied or rebuilt"):
            source.columns("swept")


def test_every_connection_is_closed(
    pg_data: Path, pg_dsn: str, visits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = "select count(*) from pg_stat_activity where application_name = 'closing'"
    with source_of(monkeypatch, dsn_of(pg_data, application_name="closing")) as source:
        abandoned = source.read(VISITS, "2024-06")
        next(abandoned)
        assert ids_of(source, VISITS, "none")
        assert run(pg_dsn, mine) == [(3,)]
    abandoned.close()
    for _ in range(100):
        if run(pg_dsn, mine) == [(0,)]:
            return
        threading.Event().wait(0.05)
    pytest.fail("a connection is still open")
