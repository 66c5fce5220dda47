"""The project, compiled once: the plants are put beside its models."""

from __future__ import annotations

from typing import Any

import pytest

from governance.settings import PROJECT_ROOT
from ops.privacy.project import Project, compile_project, read_project
from tests.privacy.worlds import Worlds, make_worlds

Manifests = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="session", autouse=True)
def _read_once(parsed_project: None, code_lists: None) -> None:
    """The project's files and the code lists are read once a session."""


@pytest.fixture(scope="session")
def manifests() -> Manifests:
    """What dbt makes of the models, without and with markers. Not to be changed."""
    return compile_project(PROJECT_ROOT)


@pytest.fixture(scope="session")
def limited_manifests() -> Manifests:
    """The same under the release profile that shows shifted dates. Not to be changed."""
    return compile_project(PROJECT_ROOT, profile="limited")


@pytest.fixture(scope="session")
def project(manifests: Manifests) -> Project:
    return read_project(PROJECT_ROOT, *manifests)


@pytest.fixture(scope="session")
def many_worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    """A network whose counts change between publications. Not to be changed."""
    return make_worlds(tmp_path_factory.mktemp("worlds"))
