"""The data dictionary is complete: every table and every column says what it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.dbt import run_dbt

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def dictionary(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Each relation with its description, its described columns and its real columns."""
    # dbt opens the warehouse to write, which keeps every other reader out: it gets a copy.
    home, target_path = tmp_path_factory.mktemp("docs-home"), tmp_path_factory.mktemp("docs")
    (home / "lake").symlink_to(demo_home / "lake")
    (home / "restricted").mkdir()
    shutil.copy2(demo_home / "warehouse.duckdb", home / "warehouse.duckdb")
    run = run_dbt(home, target_path, "docs", "generate")
    assert run.exit_code == 0, run.output[-2000:]
    manifest = json.loads((target_path / "manifest.json").read_text("utf-8"))
    catalog = json.loads((target_path / "catalog.json").read_text("utf-8"))
    real = {**catalog["nodes"], **catalog["sources"]}
    return {
        name: {
            "kind": node["resource_type"],
            "description": node["description"],
            "columns": {key: column["description"] for key, column in node["columns"].items()},
            "real": sorted(real.get(name, {"columns": {}})["columns"]),
        }
        for name, node in {**manifest["nodes"], **manifest["sources"]}.items()
        if node["resource_type"] in ("model", "seed", "source")
    }


def test_every_table_and_column_is_described(dictionary: dict[str, Any]) -> None:
    missing = [name for name, node in dictionary.items() if not node["description"].strip()]
    for name, node in dictionary.items():
        missing += [
            f"{name}.{column}"
            for column in {*node["real"], *node["columns"]}
            if not node["columns"].get(column, "").strip()
        ]
    assert missing == []


def test_no_column_is_described_that_is_not_there(dictionary: dict[str, Any]) -> None:
    """Sources describe what the operational database holds; identifiers never reach the lake."""
    gone = [
        f"{name}.{column}"
        for name, node in dictionary.items()
        if node["kind"] != "source"
        for column in node["columns"]
        if column not in node["real"]
    ]
    assert gone == []


def test_models_begin_with_their_grain(dictionary: dict[str, Any]) -> None:
    vague = [
        name
        for name, node in dictionary.items()
        if node["kind"] != "source" and not node["description"].startswith("One row")
    ]
    assert vague == []
