"""Chart reviews in PostgreSQL: what is said when it fails, whose rights it needs, its settings."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from chart_audit.database import hospitals
from chart_audit.erasure import remove_visits
from chart_audit.hand_over import hand_over
from chart_audit.store import Review, Store, opened_store
from governance.connections import ConnectionString
from governance.errors import ChartAuditError, SettingsError
from governance.settings import SETTINGS_FILE, ReviewDatabase, Settings, load_settings
from ops.cli.main import main
from tests.helpers.postgres import dsn_of, run
from tests.helpers.review_database import (
    CASE,
    DSN_ENV,
    NAME,
    SECRET,
    at_a_prompt,
    in_postgres,
    review_some,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(tmp_path: Path, pg_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return in_postgres(tmp_path, pg_dsn, monkeypatch)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with opened_store(settings, "H01") as opened:
        opened.open_case(CASE, "anna")
        yield opened


# What is said when it fails.


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (f"postgresql://alice:{SECRET}@127.0.0.1:1/ehr", "the server cannot be reached"),
        (f"host=127.0.0.1 port=1 password={SECRET}", "the server cannot be reached"),
        (SECRET, "the server cannot be reached"),
        (f"postgresql://postgres:{SECRET}@/nodb?host={{data}}", "has no such database"),
        (f"postgresql://nobody:{SECRET}@/postgres?host={{data}}", "has no such user"),
        (f"postgresql://must_say:{SECRET}@/postgres?host={{data}}", "refuses the user or the pass"),
    ],
)
def test_no_connection_is_one_sentence_without_the_secret(
    settings: Settings,
    must_say: Path,
    monkeypatch: pytest.MonkeyPatch,
    bad: str,
    words: str,
) -> None:
    monkeypatch.setenv(DSN_ENV, bad.replace("{data}", str(must_say)))
    with pytest.raises(ChartAuditError) as caught, opened_store(settings, "H01"):
        pass
    assert re.fullmatch(rf"The database of .* string in {DSN_ENV}\.", str(caught.value))
    assert words in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None
    monkeypatch.setenv(DSN_ENV, "")
    with pytest.raises(SettingsError, match=f"variable {DSN_ENV} is missing"):
        hand_over(settings)


@pytest.fixture
def must_say(pg_data: Path, pg_dsn: str) -> Iterator[Path]:
    """A server with a role that must give a password."""
    rules = pg_data / "pg_hba.conf"
    before = rules.read_text()
    run(pg_dsn, "create role must_say login password 'another'")
    rules.write_text("local all must_say scram-sha-256\n" + before)
    run(pg_dsn, "select pg_reload_conf()")
    yield pg_data
    rules.write_text(before)
    run(pg_dsn, "select pg_reload_conf()", "drop role must_say")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("drop table comments", "a table is not there: restore its schema"),
        ("update store_version set version = 0", "of version 0, and this program writes version 1"),
        ("drop table codes cascade", "a table is not there: restore its schema"),
        ("alter table comments add check (body = '')", r"refused it \(SQLSTATE 23514\)"),
    ],
)
def test_a_broken_store_is_one_sentence_without_what_was_typed(
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    broken: str,
    words: str,
) -> None:
    with opened_store(settings, "H01"):
        at_a_prompt(settings, "H01", broken)
    case = replace(CASE, index_visit_key=f"{NAME:x<20}")
    with (
        pytest.raises(ChartAuditError, match=words) as caught,
        opened_store(settings, "H01") as own,
    ):
        own.open_case(case, NAME)
        own.save_draft(Review(case.index_visit_key, "first", NAME, comment=f"Ms {NAME}"))
    said = (
        "".join(traceback.format_exception(caught.value))
        + caplog.text
        + "".join(capfd.readouterr())
    )
    assert NAME not in said
    assert "\n" not in str(caught.value)


def test_a_role_without_rights_is_told_which_page_names_them(
    settings: Settings, store: Store, pg_data: Path, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(pg_dsn, "create role stranger login")
    try:
        monkeypatch.setenv(DSN_ENV, dsn_of(pg_data, user="stranger"))
        for hospital in ("H01", "H02"):
            with (
                pytest.raises(ChartAuditError, match=r"lacks a right: see docs/chart_audit\.md"),
                opened_store(settings, hospital),
            ):
                pass
        # A store that cannot be read is not left out.
        with pytest.raises(ChartAuditError, match="Nothing was handed over: H01: "):
            hand_over(settings)
    finally:
        run(pg_dsn, "drop role stranger")


def test_a_role_that_owns_its_schemas_needs_nothing_else(
    settings: Settings, pg_data: Path, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/chart_audit.md says: a role of its own, with its database."""
    run(pg_dsn, "create role pages login", "create database reviews owner pages")
    try:
        monkeypatch.setenv(DSN_ENV, dsn_of(pg_data, user="pages", database="reviews"))
        review_some(settings)
        hand_over(settings)
        assert remove_visits(settings, {"a" * 20}) == 4
    finally:
        run(pg_dsn, "drop database reviews (force)", "drop role pages")


# Settings.


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("kind = 'postgresql'", "needs dsn_env or dsn_file"),
        ("kind = 'postgresql'\ndsn_env = 'A'\ndsn_file = 'b'", "needs dsn_env or dsn_file"),
        ("kind = 'postgresql'\ndsn = 'postgresql://x'", "unknown settings: dsn"),
        ("kind = 'postgresql'\ndsn_env = 'A'\nschema = 'a-b'", "schema must be small letters"),
        ("kind = 'mysql'", 'needs kind = "sqlite"'),
        ("kind = 'sqlite'\npath = 'x'", 'needs kind = "sqlite"'),
    ],
)
def test_settings_are_refused_where_they_say_nothing_clear(
    tmp_path: Path, lines: str, words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        _settings(tmp_path, lines)


def test_settings_name_where_the_connection_string_is(tmp_path: Path) -> None:
    assert _settings(tmp_path, "kind = 'sqlite'").review_database is None
    found = _settings(tmp_path, "kind = 'postgresql'\ndsn_file = 'keys/reviews'").review_database
    held = ConnectionString("The chart audit", "chart_audit", None, tmp_path / "keys" / "reviews")
    assert found == ReviewDatabase(held, "chart_audit")


def test_a_command_moves_and_says_how_much(tmp_path: Path, settings: Settings) -> None:
    review_some(Settings(home=tmp_path))
    assert settings.review_database
    _settings(
        tmp_path,
        f"kind = 'postgresql'\ndsn_env = '{DSN_ENV}'\nschema = '{settings.review_database.prefix}'",
    )
    done = CliRunner().invoke(main, ["chart-audit", "move", "--home", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "moved: the reviews of 2 hospitals" in done.output
    assert hospitals(settings) == ["H1", "H2"]


def _settings(home: Path, lines: str) -> Settings:
    source = "synthetic = true\n[sources.ehr]\nkind = 'sqlite'\npath = 'x'\n"
    (home / SETTINGS_FILE).write_text(f"{source}[chart_audit]\n{lines}\n")
    return load_settings(home)
