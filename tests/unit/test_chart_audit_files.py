"""Chart reviews in SQLite files: to whom they are open, and what is left of a removed case."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chart_audit.files import store_path
from chart_audit.store import Case, Review, Store, opened_store
from governance.errors import ChartAuditError
from governance.settings import Settings
from tests.helpers.reviews import issue

CASE = Case("a" * 20, "b" * 20, "sample", "2026-01-01")
KEY = CASE.index_visit_key
ISSUE = issue("handover")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with opened_store(settings, "H01") as opened:
        opened.open_case(CASE, "anna")
        yield opened


def raw(settings: Settings, statement: str) -> None:
    """Run a statement beside the program, as somebody at a prompt would."""
    with sqlite3.connect(store_path(settings, "H01")) as connection:
        connection.execute("pragma foreign_keys = on")
        connection.execute(statement)


def test_the_file_is_its_owners_alone(settings: Settings, store: Store) -> None:
    path = store_path(settings, "H01")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    with (
        pytest.raises(ChartAuditError, match="closed to others"),
        opened_store(settings, "H01"),
    ):
        pass


def test_a_directory_with_a_group_lets_the_group_read(settings: Settings) -> None:
    settings.chart_audit.mkdir()
    settings.chart_audit.chmod(0o2750)
    with opened_store(settings, "H01"):
        assert stat.S_IMODE(store_path(settings, "H01").stat().st_mode) == 0o640


def test_an_erased_persons_case_is_gone_to_the_last_byte(settings: Settings, store: Store) -> None:
    other = replace(CASE, index_visit_key="c" * 20)
    store.open_case(other, "anna")
    store.save_draft(Review(other.index_visit_key, "first", "anna", comment="stays"))
    store.submit(Review(KEY, "first", "anna", answers=ISSUE, comment="seen"))
    second = replace(store.read(KEY, "second", "berta"), comment="Mrs Smith of Elm Street")
    store.save_draft(second)
    path = store_path(settings, "H01")
    assert b"Elm Street" in path.read_bytes()
    assert store.remove_case(KEY) == 2
    assert b"Elm Street" not in path.read_bytes()
    assert KEY.encode() not in path.read_bytes()
    assert set(store.states()) == {other.index_visit_key}
    # The guards stand again.
    with pytest.raises(sqlite3.IntegrityError):
        raw(settings, "delete from edits")
    with pytest.raises(ChartAuditError, match="ever begun"):
        store.remove_case(KEY)
    with pytest.raises(sqlite3.IntegrityError):
        raw(settings, "delete from comments")


def test_a_link_in_the_place_of_the_file_is_refused(settings: Settings, tmp_path: Path) -> None:
    settings.chart_audit.mkdir()
    (tmp_path / "other").touch(0o600)
    store_path(settings, "H01").symlink_to(tmp_path / "other")
    with pytest.raises(ChartAuditError), opened_store(settings, "H01"):
        pass


def test_a_locked_file_is_said_to_be_locked(settings: Settings, store: Store) -> None:
    read = store.read(KEY, "first", "anna")
    store._database.execute("pragma busy_timeout = 10")
    holder = sqlite3.connect(store_path(settings, "H01"), isolation_level=None)
    holder.execute("begin immediate")
    with pytest.raises(ChartAuditError, match="was not saved"):
        store.save_draft(read)
    holder.execute("rollback")
    holder.close()
    assert store.save_draft(read).version == 1
