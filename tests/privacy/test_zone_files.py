"""The check follows every table that stands in a file: no other stands in one."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from governance.settings import Settings
from ops.privacy.check import Lineage, trace_project
from ops.privacy.project import Project
from ops.publication.publish import publish
from tests.helpers.small_warehouse import build_small_warehouse, write_record
from tests.privacy.conftest import Manifests


@pytest.fixture(scope="module")
def lineage(project: Project) -> Lineage:
    return trace_project(project)


def followed(lineage: Lineage, zone: str) -> set[str]:
    return {table.name for table in lineage.tables if table.zone == zone}


def tables_of(path: Path, schema: str) -> set[str]:
    with duckdb.connect(str(path), read_only=True) as con:
        rows = con.execute(
            "select table_name from duckdb_tables() where schema_name = $1", [schema]
        ).fetchall()
    return {str(row[0]) for row in rows}


@pytest.mark.integration
def test_every_table_of_the_published_files_is_followed(tmp_path: Path, lineage: Lineage) -> None:
    build_small_warehouse(tmp_path)
    write_record(tmp_path)
    report = publish(Settings(home=tmp_path, is_synthetic=True))
    network = followed(lineage, "published") - {"publication_gate"}
    assert tables_of(report.network_file, "main") == network
    for path in report.hospital_files.values():
        assert tables_of(path, "main") == network
        own = followed(lineage, "operational") | followed(lineage, "worklist")
        assert tables_of(path, "own") == own


def test_every_table_behind_the_release_gate_is_followed(
    manifests: Manifests, lineage: Lineage
) -> None:
    gate = manifests[1]["nodes"]["model.scutari.release_gate"]
    behind = {key.rpartition(".")[2] for key in gate["depends_on"]["nodes"]}
    assert followed(lineage, "release") == behind
