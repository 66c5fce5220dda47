"""The project, compiled once: the plants are put beside its models."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from governance.settings import PROJECT_ROOT
from ops.privacy.project import DEFAULT_PROFILE, Project, compile_project, read_project
from tests.helpers.once import made_once
from tests.privacy.worlds import Worlds, make_worlds

Manifests = tuple[dict[str, Any], dict[str, Any]]
MADE = "made"


@pytest.fixture(scope="session", autouse=True)
def _read_once(parsed_project: None, code_lists: None) -> None:
    """The project's files and the code lists are read once a session."""


@pytest.fixture(scope="session")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    """What dbt makes of the models, without and with markers. Not to be changed."""
    return _compiled(tmp_path_factory, DEFAULT_PROFILE)


@pytest.fixture(scope="session")
def limited_manifests(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    """The same under the release profile that shows shifted dates. Not to be changed."""
    return _compiled(tmp_path_factory, "limited")


@pytest.fixture(scope="session")
def project(manifests: Manifests) -> Project:
    return read_project(PROJECT_ROOT, *manifests)


@pytest.fixture(scope="session")
def many_worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    """A network whose counts change between publications. Not to be changed."""

    def make(home: Path) -> None:
        (home / MADE).write_bytes(pickle.dumps(make_worlds(home)))

    made: Worlds = pickle.loads((made_once(tmp_path_factory, "worlds", make) / MADE).read_bytes())
    return made


def _compiled(tmp_path_factory: pytest.TempPathFactory, profile: str) -> Manifests:
    def make(home: Path) -> None:
        (home / MADE).write_text(json.dumps(compile_project(PROJECT_ROOT, profile=profile)))

    made = made_once(tmp_path_factory, f"manifests-{profile}", make) / MADE
    plain, marked = json.loads(made.read_text())
    return plain, marked
