"""What an installation has, told at every stage of its life and never with a secret in it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from extract.identity.tokens import KEY_FILE
from extract.lake import MANIFEST
from extract.status import describe_status
from governance.settings import Settings, SourceSettings
from ops.build import BuildRecord, record_path
from tests.helpers.small_snapshot import NAME, small_settings, write_snapshot

OLDER = "20260630T031500Z"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = small_settings(tmp_path)
    write_snapshot(made, OLDER)
    write_snapshot(made)
    return made


def _line(settings: Settings, head: str) -> str:
    lines = [line.strip() for line in describe_status(settings).splitlines()]
    found = [line for line in lines if line.startswith(head)]
    assert len(found) == 1, lines
    return found[0]


def test_an_installation_with_nothing_yet_says_what_to_do(tmp_path: Path) -> None:
    sources = {
        "ehr": SourceSettings("ehr", "sqlite", path=tmp_path / "sources" / "ehr.sqlite"),
        "billing": SourceSettings("billing", "postgresql", dsn_file=tmp_path / "dsn"),
    }
    assert describe_status(Settings(home=tmp_path, sources=sources, is_synthetic=True)) == (
        f"home: {tmp_path} (synthetic data)\n"
        "sources:\n"
        f"  ehr: SQLite file {tmp_path}/sources/ehr.sqlite, absent\n"
        f"  billing: PostgreSQL, schema public, connection string in {tmp_path}/dsn\n"
        "snapshots:\n"
        "  none yet: take one with `scutari snapshot`\n"
        "last green build: none; run `scutari build`\n"
        "published: nothing; run `scutari publish`\n"
        "releases: none"
    )


def test_a_source_that_is_there_is_not_called_absent(tmp_path: Path) -> None:
    path = tmp_path / "ehr.sqlite"
    path.touch()
    settings = Settings(home=tmp_path, sources={"ehr": SourceSettings("ehr", "sqlite", path)})
    assert _line(settings, "ehr:") == f"ehr: SQLite file {path}"


def test_no_connection_string_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCUTARI_TEST_DSN", "postgresql://u:hidden@localhost/db")
    dsn_file = settings.home / "dsn"
    dsn_file.write_text("postgresql://u:hidden@localhost/db")
    settings.sources["lab"] = SourceSettings("lab", "postgresql", dsn_file=dsn_file)
    assert _line(settings, "ehr:").endswith("connection string in SCUTARI_TEST_DSN")
    assert "hidden" not in describe_status(settings)


def test_every_snapshot_is_told_and_which_is_current(settings: Settings) -> None:
    """Two files of 3 and 2 rows; one row and two values of June in quarantine."""
    size = sum(path.stat().st_size for path in (settings.lake / NAME).rglob("*.parquet"))
    about = (
        f"taken 2026-07-01T03:15:00+00:00, 2 files, 5 rows, {size / 1e6:,.1f} MB, "
        "3 values in quarantine, 1 of them with their row"
    )
    assert _line(settings, OLDER) == f"{OLDER}: {about}"
    assert _line(settings, NAME) == f"{NAME} (current): {about}"


def test_a_damaged_snapshot_does_not_hide_the_others(settings: Settings) -> None:
    (settings.lake / OLDER / MANIFEST).write_text("{}")
    assert "cannot be read as a manifest" in _line(settings, OLDER)
    assert "5 rows" in _line(settings, NAME)


def test_a_missing_key_is_told_beside_the_names(settings: Settings) -> None:
    (settings.vault / KEY_FILE).unlink()
    line = _line(settings, OLDER)
    assert line.startswith(f"{OLDER}, {NAME}; The token key ")
    assert "restore it from the backup" in line


def test_the_last_green_build_is_told(settings: Settings) -> None:
    record = BuildRecord(
        snapshot_id=NAME,
        finished_at="2026-07-01T04:00:00+00:00",
        is_green=True,
        models=["publication_gate"],
        warehouse_bytes=1,
        warehouse_mtime_ns=1,
    )
    record_path(settings).write_text(json.dumps(asdict(record)))
    assert _line(settings, "last green build:") == (
        f"last green build: snapshot {NAME}, 2026-07-01T04:00:00+00:00"
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", "no json"])
def test_a_build_record_that_is_none_is_no_build(settings: Settings, text: str) -> None:
    record_path(settings).write_text(text)
    assert _line(settings, "last green build:") == "last green build: none; run `scutari build`"


def test_what_is_published_is_told_by_its_file(settings: Settings) -> None:
    settings.published.mkdir()
    link = settings.published / "current.duckdb"
    link.symlink_to(f"{NAME}.duckdb")
    assert _line(settings, "published:") == "published: nothing; run `scutari publish`"
    (settings.published / f"{NAME}.duckdb").touch()
    assert _line(settings, "published:") == f"published: {NAME}.duckdb"


def test_releases_are_told_without_what_is_being_written(settings: Settings) -> None:
    for name in ("open", "2026-q2", ".draft.tmp"):
        (settings.release / name).mkdir(parents=True)
    (settings.release / "README.md").touch()
    assert _line(settings, "releases:") == "releases: 2026-q2, open"
