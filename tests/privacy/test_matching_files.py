"""Looking for a patient in what matching leaves behind, says, or fails with."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chart_audit.hand_over import hand_over
from demo.network import plant_network
from extract import snapshot
from extract.identity.matching import pairs
from extract.snapshot import take_snapshot
from governance.errors import MatchError, VaultError
from governance.settings import Settings, load_settings
from ops.matching.decisions import decide, list_decisions
from ops.matching.report import match_report

pytestmark = pytest.mark.integration

COLUMNS = ("health_number", "first_name", "last_name", "phone", "address_line", "mrn")
# Shorter names are syllables of other words, and turn up in any ciphertext.
SHORTEST = 8


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, str]]:
    """A planted network after one night, and what was said and logged meanwhile."""
    home = tmp_path_factory.mktemp("matched") / "home"
    plant_network(home, visits=800, seed=4)
    settings = load_settings(home)
    hand_over(settings)
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    listener = Listener(level=0)
    with pytest.MonkeyPatch.context() as patch:
        lists = {"icd10cm": pa.table({"code": ["R074"]})}
        patch.setattr(snapshot, "reference_table_apart", lists.__getitem__)
        patch.setattr(snapshot, "reference_versions", dict)
        root, splink = logging.getLogger(), logging.getLogger("splink")
        levels = root.level, splink.level
        for logger in (root, splink):
            logger.addHandler(listener)
            logger.setLevel(1)
        take_snapshot(settings, progress=said.append)
        yield settings, "\n".join(said)
        for logger, level in zip((root, splink), levels, strict=True):
            logger.removeHandler(listener)
            logger.setLevel(level)


def _identifiers(settings: Settings) -> set[str]:
    with sqlite3.connect(settings.home / "sources" / "ehr.sqlite") as connection:
        rows = connection.execute(f"select {', '.join(COLUMNS)} from patients").fetchall()
    return {value.lower() for row in rows for value in row if value and len(value) >= SHORTEST}


def _text(path: Path) -> str:
    text = path.read_bytes().decode("latin-1")
    if path.suffix == ".parquet" and "person_map" in path.parts:
        text += str(pq.read_table(path).to_pydict())
    return text.lower()


def _found(settings: Settings, paths: list[Path]) -> list[tuple[str, str]]:
    wanted = _identifiers(settings)
    assert len(wanted) > 800
    texts = {str(path.relative_to(settings.home)): _text(path) for path in paths}
    return [(name, value) for name, text in texts.items() for value in wanted if value in text]


def _review(settings: Settings) -> Path:
    return next((settings.restricted / "matching").glob("*/review.csv"))


def test_no_file_of_matching_names_anybody(taken: tuple[Settings, str]) -> None:
    """The map, the review list, the figures, the decisions, the vault's bytes, the audit log."""
    settings, _ = taken
    one, other = _review(settings).read_text().splitlines()[1].split(",")[:2]
    decide(settings, "merge", (one, other), "same_person_confirmed")
    folders = [settings.lake, settings.restricted / "matching", settings.vault, settings.audit]
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    names = {path.name for path in paths}
    assert {"review.csv", "figures.json", "decisions.jsonl", "crosswalk.parquet"} <= names
    assert _found(settings, paths) == []
    # The search works: where names may be, it finds them.
    assert _found(settings, [settings.home / "sources" / "ehr.sqlite"])


def test_nothing_that_is_said_or_logged_names_anybody(taken: tuple[Settings, str]) -> None:
    settings, said = taken
    said += "\n".join([*match_report(settings), *list_decisions(settings)])
    assert "persons: " in said
    assert [value for value in _identifiers(settings) if value in said.lower()] == []


def test_intermediates_are_gone_and_the_rest_is_closed(taken: tuple[Settings, str]) -> None:
    settings, _ = taken
    assert not (settings.restricted / "spill" / "extract").exists()
    folder = _review(settings).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_failing_library_repeats_no_value(
    taken: tuple[Settings, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Splink writes the database's message, and so the value in it, into its own exception."""
    settings, _ = taken
    before = (settings.lake / "current").resolve()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("could not convert 'Quillfeather' to a date")

    monkeypatch.setattr(pairs, "Linker", fail)
    with pytest.raises(VaultError) as caught:
        take_snapshot(settings)
    assert "Quillfeather" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert (settings.lake / "current").resolve() == before
    assert not (settings.restricted / "spill" / "extract").exists()


def test_a_name_is_no_token_and_is_not_repeated(taken: tuple[Settings, str]) -> None:
    settings, _ = taken
    with pytest.raises(MatchError) as caught:
        decide(settings, "merge", ("Quillfeather", "0" * 20), "same_person_confirmed")
    assert "Quillfeather" not in str(caught.value)


def test_small_numbers_of_a_real_network_are_not_shown(taken: tuple[Settings, str]) -> None:
    settings, _ = taken
    toml = settings.home / "scutari.toml"
    text = toml.read_text()
    try:
        toml.write_text(text.replace("synthetic = true", "synthetic = false"))
        lines = match_report(load_settings(settings.home))
    finally:
        toml.write_text(text)
    assert any("under 11" in line for line in lines)
    assert not any("truth" in line for line in lines)
