"""Chart reviews in PostgreSQL: several writers, hospitals apart, and what is said when it fails."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from adbc_driver_postgresql import dbapi

from chart_audit.database import forget, hospitals
from chart_audit.erasure import named_visits, remove_visits
from chart_audit.hand_over import hand_over
from chart_audit.move import move_reviews
from chart_audit.store import Review, Store, opened_store
from governance.errors import ChartAuditError
from governance.settings import Settings
from tests.helpers.postgres import dsn_of, run
from tests.helpers.review_database import (
    CASE,
    DSN_ENV,
    KEY,
    at_a_prompt,
    in_postgres,
    made_again,
    review_some,
)
from tests.helpers.reviews import FIRST, NO_ISSUE, issue, review

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(tmp_path: Path, pg_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return in_postgres(tmp_path, pg_dsn, monkeypatch)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with opened_store(settings, "H01") as opened:
        opened.open_case(CASE, "anna")
        yield opened


# Each hospital's own, and nobody else's.


def test_hospitals_do_not_see_each_others_cases(settings: Settings) -> None:
    for number, hospital in enumerate(("H01", "h01", "H-1", "1_H"), start=1):
        with opened_store(settings, hospital) as store:
            store.open_case(CASE, "anna")
            other = replace(CASE, index_visit_key=f"{hospital:x<20}")
            store.open_case(other, "anna")
            store.submit(Review(KEY, "first", f"anna{number}", answers=issue("handover")))
    assert hospitals(settings) == sorted(("H01", "h01", "H-1", "1_H"))
    for number, hospital in enumerate(("H01", "h01", "H-1", "1_H"), start=1):
        with opened_store(settings, hospital) as store:
            assert {case.index_visit_key for case in store.cases()} == {KEY, f"{hospital:x<20}"}
            assert store.states() == {KEY: {"first": (f"anna{number}", "submitted")}}
            assert store.findings("2026-01-01").reviewed_count == 1
            store.remove_case(KEY)
    assert not [h for h in hospitals(settings) if _states(settings, h)]


def test_another_installations_schemas_are_not_this_ones(
    settings: Settings, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = in_postgres(settings.home, pg_dsn, monkeypatch)
    with opened_store(other, "H09"):
        pass
    assert hospitals(settings) == []
    forget(settings)
    assert hospitals(other) == ["H09"]
    forget(other)
    assert hospitals(other) == []


def test_a_key_too_long_for_a_schema_is_refused_and_not_cut(settings: Settings) -> None:
    with pytest.raises(ChartAuditError, match="too long"), opened_store(settings, "H" * 60):
        pass


# Several writers.

WRITER = """
import sys
from dataclasses import replace
from chart_audit.store import Case, opened_store
from governance.errors import ChartAuditError
exec(sys.argv[1])
shared, own, told = sys.argv[2], sys.argv[3], []
with opened_store(settings, "H01") as store:
    for key in (shared, own):
        store.open_case(Case(key, None, "sample", "2026-01-01"), "anna")
    for number in range(12):
        while True:
            read = store.read(shared, "first", "anna")
            try:
                saved = store.save_draft(replace(read, comment=f"{read.comment}{own[0]}"))
                break
            except ChartAuditError as error:
                told.append(str(error))
        mine = store.read(own, "first", "anna")
        store.save_draft(replace(mine, comment=f"{number}"))
print(len(told), len([words for words in told if "nothing of it was overwritten" in words]))
"""


def test_what_several_save_at_once_is_all_there(settings: Settings) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, made_again(settings), KEY, letter * 20],
            stdout=subprocess.PIPE,
            text=True,
        )
        for letter in "cdef"
    ]
    said = [process.communicate(timeout=90)[0].split() for process in started]
    assert [process.returncode for process in started] == [0] * 4
    # Who came late was told so in every case.
    assert all(told == conflicts for told, conflicts in said)
    with opened_store(settings, "H01") as store:
        shared = store.read(KEY, "first", "anna")
        assert shared.version == 4 * 12
        # Each letter stands for a save: none was written over.
        assert sorted(shared.comment) == sorted("cdef" * 12)
        assert [edit.version for edit in store.history(KEY)] == list(range(1, 49))
        for letter in "cdef":
            own = store.read(letter * 20, "first", "anna")
            assert (own.version, own.comment) == (12, "11")


def test_several_who_open_a_hospital_for_the_first_time_find_one_store(settings: Settings) -> None:
    start, failed = threading.Barrier(6), []

    def open_it(letter: str) -> None:
        start.wait()
        try:
            with opened_store(settings, "H77") as store:
                store.open_case(replace(CASE, index_visit_key=letter * 20), "anna")
        except ChartAuditError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=open_it, args=(letter,)) for letter in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not failed
    with opened_store(settings, "H77") as store:
        assert len(store.cases()) == 6


def test_a_save_that_waits_too_long_is_refused_in_one_sentence(
    settings: Settings, pg_dsn: str, store: Store
) -> None:
    read = store.read(KEY, "first", "anna")
    store._database.execute("set lock_timeout = '50ms'")
    with dbapi.connect(pg_dsn) as holder, holder.cursor() as cursor:
        assert settings.review_database
        cursor.execute(
            f'lock table "{settings.review_database.prefix}-H01".cases in exclusive mode'
        )
        with pytest.raises(ChartAuditError, match="somebody else is saving: nothing of it was"):
            store.save_draft(read)
        # Who reads does not wait.
        assert store.read(KEY, "first", "anna").version == 0
    assert store.save_draft(read).version == 1


def test_a_hand_over_reads_one_state_and_keeps_no_writer_waiting(
    settings: Settings, store: Store
) -> None:
    store.submit(Review(KEY, "first", "anna", answers=NO_ISSUE))
    count = "select count(*) from reviews"
    with opened_store(settings, "H01") as reader, reader._database.snapshot():
        before = reader._database.execute(count)
        store.submit(Review(KEY, "second", "berta", answers=NO_ISSUE))
        assert reader._database.execute(count) == before == [(1,)]
    assert store.at_one_state(count) == [[(2,)]]


@pytest.mark.parametrize("deadly", ["insert into comments", "commit"])
def test_a_connection_that_breaks_off_leaves_a_whole_state(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch, deadly: str
) -> None:
    first = store.save_draft(Review(KEY, "first", "anna", answers=NO_ISSUE, comment="one"))
    ((number,),) = store._database.execute("select pg_backend_pid()")
    execute = store._database.execute

    def broken(statement: str, values: tuple[object, ...] = ()) -> object:
        if statement.startswith(deadly):
            at_a_prompt(settings, "H01", f"select pg_terminate_backend({number}, 5000)")
        return execute(statement, values)

    monkeypatch.setattr(store._database, "execute", broken)
    with pytest.raises(ChartAuditError, match=r"broke off: open the review again and see"):
        store.submit(replace(first, answers=issue("handover"), comment="two"))
    with opened_store(settings, "H01") as again:
        assert again.read(KEY, "first", "anna") == first


# What the database holds by itself.


@pytest.mark.parametrize(
    "statement",
    [
        "truncate answers",
        "truncate cases cascade",
        "update reviews set version = version + 2",
        "update reviews set version = version - 1",
        "update reviews set reviewer = 'berta'",
        "update answers set review_id = 1 where review_id = 2",
        "update answers set review_id = 2 where review_id = 1",
        "insert into comments select review_id, 9, 'late' from reviews where stage_code = 'first'",
    ],
)
def test_the_database_refuses_what_no_review_may_become(
    settings: Settings, store: Store, statement: str
) -> None:
    store.submit(Review(KEY, "first", "anna", answers=NO_ISSUE))
    store.save_draft(Review(KEY, "second", "berta", answers=NO_ISSUE))
    with pytest.raises(dbapi.IntegrityError):
        at_a_prompt(settings, "H01", statement)


def test_an_erased_persons_case_is_gone_from_the_servers_files(
    settings: Settings, store: Store, pg_data: Path
) -> None:
    assert settings.review_database
    address = f"Mrs Smith of Elm Street {settings.review_database.prefix}"
    store.submit(Review(KEY, "first", "anna", answers=issue("handover"), comment=address))
    store.save_draft(Review(KEY, "second", "berta", comment=address))
    other = replace(CASE, index_visit_key="c" * 20, return_visit_key=None)
    store.open_case(other, "anna")
    store.save_draft(Review(other.index_visit_key, "first", "anna", comment="stays"))
    hand_over(settings)
    assert named_visits(settings) == sorted([KEY, "b" * 20, "c" * 20])
    assert _files_with(settings, pg_data, address)
    assert remove_visits(settings, {"b" * 20}) == 2
    assert _files_with(settings, pg_data, address) == []
    assert store.read("c" * 20, "first", "anna").comment == "stays"
    assert _handed_over(settings) == ([], [])
    # The guards stand again.
    with pytest.raises(dbapi.IntegrityError):
        at_a_prompt(settings, "H01", "delete from comments")


def _files_with(settings: Settings, pg_data: Path, words: str) -> list[Path]:
    at_a_prompt(settings, "H01", "checkpoint")
    return [
        p for p in (pg_data / "base").rglob("*") if p.is_file() and words.encode() in p.read_bytes()
    ]


def test_a_restored_backup_has_its_reviews_and_its_guards(
    settings: Settings, pg_data: Path, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/chart_audit.md says: dumped while it is in use, restored into an empty database."""
    review_some(settings)
    before, backup = _histories(settings), settings.home / "backup"
    assert settings.review_database
    prefix = settings.review_database.prefix
    ((folder,),) = run(pg_dsn, "select setting from pg_config where name = 'BINDIR'")
    tools = Path(folder)
    dump = [
        tools / "pg_dump",
        "--format=custom",
        f"--schema={prefix}-*",
        f"--file={backup}",
        pg_dsn,
    ]
    subprocess.run(dump, check=True)
    run(pg_dsn, "create database restored")
    try:
        restored = dsn_of(pg_data, database="restored")
        subprocess.run([tools / "pg_restore", "--dbname", restored, backup], check=True)
        monkeypatch.setenv(DSN_ENV, restored)
        assert _histories(settings) == before
        for guarded in ("delete from edits", "truncate comments", "delete from answers"):
            with pytest.raises(dbapi.IntegrityError):
                at_a_prompt(settings, "H2", guarded)
        # And goes on where it was: numbers of new reviews follow those that there are.
        review(settings, "H2", "a" * 20, NO_ISSUE, stage="second")
        assert named_visits(settings) == ["a" * 20, "c" * 20]
    finally:
        run(pg_dsn, "drop database restored (force)")


# The same as in files.


def test_both_kinds_hand_over_the_same(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = Settings(home=tmp_path_factory.mktemp("files"))
    for where in (settings, files):
        review_some(where)
        hand_over(where)
    assert _handed_over(settings) == _handed_over(files)
    assert len(_handed_over(files)[0]) == 4


def test_reviews_move_whole_and_only_once(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = Settings(home=settings.home)
    review_some(files)
    hand_over(files)
    before, history = _handed_over(files), _histories(files)
    for refused in (hand_over, hospitals, named_visits):
        with pytest.raises(ChartAuditError, match="still holds reviews in files"):
            refused(settings)
    with pytest.raises(ChartAuditError, match="name no PostgreSQL"):
        move_reviews(files)
    copy = (settings.chart_audit / "H1.sqlite").read_bytes()
    assert move_reviews(settings) == ["H1", "H2"]
    assert not list(settings.chart_audit.iterdir())
    hand_over(settings)
    assert (_handed_over(settings), _histories(settings)) == (before, history)
    # Cut off before the file was removed: the second time only that is left to do.
    (settings.chart_audit / "H1.sqlite").write_bytes(copy)
    (settings.chart_audit / "H1.sqlite").chmod(0o600)
    assert move_reviews(settings) == ["H1"]
    # Of two that differ neither is changed.
    review(settings, "H3", "z" * 20, NO_ISSUE)
    (settings.chart_audit / "H3.sqlite").write_bytes(copy)
    (settings.chart_audit / "H3.sqlite").chmod(0o600)
    with pytest.raises(ChartAuditError, match="holds other reviews of hospital H3"):
        move_reviews(settings)
    assert (settings.chart_audit / "H3.sqlite").read_bytes() == copy
    (settings.chart_audit / "H3.sqlite").unlink()
    assert _states(settings, "H3") == {"z" * 20: {"first": (FIRST, "submitted")}}


def _histories(settings: Settings) -> object:
    found = []
    for hospital in hospitals(settings):
        with opened_store(settings, hospital) as store:
            for case in store.cases():
                edits = [replace(e, edited_at="") for e in store.history(case.index_visit_key)]
                found.append((case, store.submitted_answers(case.index_visit_key), edits))
    return found


def _states(settings: Settings, hospital: str) -> object:
    with opened_store(settings, hospital) as store:
        return store.states()


def _handed_over(settings: Settings) -> tuple[list[object], list[object]]:
    with closing(sqlite3.connect(settings.chart_reviews)) as connection:
        reviews = connection.execute(
            "select review_id, hospital_id, index_visit_key, quarter_on, reason_code, stage_code "
            "from case_reviews order by 1"
        ).fetchall()
        answers = connection.execute(
            "select answer_id, review_id, field_code, code from review_answers order by 1"
        ).fetchall()
    return reviews, answers
