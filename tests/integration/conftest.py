"""What integration tests share: a PostgreSQL server, a small warehouse, contracts read once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from extract import snapshot
from extract.contract_files import load_contracts
from extract.erasure import held
from governance.settings import SETTINGS_FILE, Settings, load_settings
from ops.publication.publish import publish
from tests.helpers import postgres
from tests.helpers.small_warehouse import build_small_warehouse, write_record


@pytest.fixture(scope="session", autouse=True)
def _read_once(parsed_project: None, code_lists: None) -> None:
    """The project's files and the code lists are read once a session."""


@pytest.fixture
def kinds(pg_dsn: str) -> None:
    """A table with every type a contract may declare."""
    postgres.plant_kinds(pg_dsn)


@pytest.fixture
def visits(pg_dsn: str) -> None:
    """A table with months, and rows that belong to none."""
    postgres.plant_visits(pg_dsn)


@pytest.fixture(scope="session")
def small_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a warehouse of three hospitals, to be copied."""
    return build_small_warehouse(tmp_path_factory.mktemp("small_warehouse"))


@pytest.fixture
def settings(tmp_path: Path, small_warehouse: Path) -> Settings:
    """An installation of a test's own, with the small warehouse after a green build."""
    shutil.copy2(small_warehouse, tmp_path)
    write_record(tmp_path)
    return Settings(home=tmp_path, is_synthetic=True)


@pytest.fixture(scope="session")
def published_template(tmp_path_factory: pytest.TempPathFactory, small_warehouse: Path) -> Path:
    """A home with the small warehouse that has published once, to be copied."""
    home = tmp_path_factory.mktemp("published_template")
    shutil.copy2(small_warehouse, home)
    write_record(home)
    (home / SETTINGS_FILE).write_text(
        'synthetic = true\n[sources.ehr]\nkind = "sqlite"\npath = "x"'
    )
    publish(load_settings(home))
    return home


@pytest.fixture
def published_once(
    tmp_path: Path, published_template: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """An installation of a test's own that has published once, and is the one that pages show."""
    shutil.copytree(published_template, tmp_path, symlinks=True, dirs_exist_ok=True)
    write_record(tmp_path)
    monkeypatch.setenv("SCUTARI_HOME", str(tmp_path))
    return load_settings(tmp_path)


@pytest.fixture(scope="module")
def contracts_read_once() -> Iterator[pytest.MonkeyPatch]:
    """Contracts are read once, and code lists are to be given by the test's module."""
    with pytest.MonkeyPatch.context() as patch:
        contracts = cache(load_contracts)
        patch.setattr(snapshot, "load_contracts", contracts)
        patch.setattr(held, "load_contracts", contracts)
        patch.setattr(snapshot, "reference_versions", dict)
        yield patch
