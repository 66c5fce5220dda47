"""Chart reviews in a PostgreSQL database of the tests, each test in schemas of its own."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from adbc_driver_postgresql import dbapi

from chart_audit.store import Case
from governance.connections import ConnectionString
from governance.settings import ReviewDatabase, Settings
from tests.helpers.reviews import NO_ISSUE, issue, review

DSN_ENV = "SCUTARI_TEST_REVIEWS_DSN"
# What must be in no error: a password, and a name that somebody typed.
SECRET = "quillfeather-hunter2"
NAME = "quillfeather"
CASE = Case("a" * 20, "b" * 20, "sample", "2026-01-01")
KEY = CASE.index_visit_key


def in_postgres(home: Path, dsn: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return an installation whose reviews are in a database, in schemas that nobody else uses."""
    monkeypatch.setenv(DSN_ENV, dsn)
    connection = ConnectionString("The chart audit", "chart_audit", env=DSN_ENV)
    return Settings(
        home=home, review_database=ReviewDatabase(connection, prefix=f"t{uuid.uuid4().hex[:12]}")
    )


def made_again(settings: Settings) -> str:
    """Return the statements by which another process makes the same settings."""
    return (
        "from pathlib import *\n"
        "from governance.connections import *\n"
        "from governance.settings import *\n"
        f"settings = Settings(home=Path({str(settings.home)!r}), "
        f"review_database={settings.review_database!r})\n"
    )


def at_a_prompt(settings: Settings, hospital: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements in a hospital's schema and commit each; return the rows of the last."""
    database = settings.review_database
    assert database is not None
    with (
        dbapi.connect(database.connection.read(), autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f'set search_path to "{database.prefix}-{hospital}"')
        cursor.execute("set lock_timeout = '10s'")
        for statement in statements:
            cursor.execute(statement)
        return [tuple(row) for row in cursor.fetchall()]


def review_some(settings: Settings) -> None:
    """Review two cases of H1 and one of H2, one of them twice and half-way reconciled."""
    review(settings, "H1", "a" * 20, issue("handover", "crowding"))
    review(settings, "H1", "a" * 20, NO_ISSUE, stage="second")
    review(settings, "H1", "a" * 20, issue("handover"), stage="reconciled", is_draft=True)
    review(settings, "H1", "c" * 20, NO_ISSUE)
    review(settings, "H2", "a" * 20, NO_ISSUE)
