"""dbt's own unit tests: worked cases of single models, and the histories of return visits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers.dbt import run_dbt

pytestmark = pytest.mark.integration


def test_every_unit_test_is_green(demo_home: Path, tmp_path: Path) -> None:
    """They need the columns of built tables, not their rows."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "restricted").mkdir()
    (home / "lake").symlink_to(demo_home / "lake")
    shutil.copy2(demo_home / "warehouse.duckdb", home / "warehouse.duckdb")
    run = run_dbt(home, tmp_path / "target", "test", "--select", "test_type:unit")
    assert run.not_green() == []
    assert run.exit_code == 0
    assert len(run.results) > 90
