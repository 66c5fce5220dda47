"""Build the research tables with dbt, in a database of their own, and say if their gate opened.

The release account reads the lake and nothing else: its build has a home of its own under the
release zone, with a link to the lake: it neither waits for the nightly build nor changes its file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from governance.errors import PublicationError
from governance.settings import PROJECT_ROOT, Settings
from ops.release.profiles import Profile
from ops.release.sample import draw_sample, known_persons, write_sample
from ops.warehouse import current_snapshot

GATE = "release_gate"
WORK = ".work"
# dbt names the database after its file: sources say that theirs is `warehouse`.
DATABASE = "warehouse.duckdb"


@dataclass(frozen=True)
class OpenGate:
    """A gate that succeeded: the build it belongs to and what its tables hold.

    Attributes:
        build_id: the dbt invocation.
        schema: the schema of the release's tables.
        documentation: description and columns of every table behind the gate.
        snapshot_id: the snapshot it was built from.
        database: the build's own DuckDB file; gone when the release is written.
    """

    build_id: str
    schema: str
    documentation: dict[str, dict[str, Any]]
    snapshot_id: str
    database: Path


@contextmanager
def work_directory(settings: Settings) -> Iterator[Path]:
    """Give a home to build a release in, empty, for the release account alone; take it away after.

    What a killed run left in it is wiped when the next one starts.
    """
    work = settings.release / WORK
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(mode=0o700, parents=True)
        (work / "restricted" / "spill").mkdir(parents=True)
        (work / "lake").symlink_to(settings.lake, target_is_directory=True)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def open_gate(
    settings: Settings, profile: Profile, work: Path, variables: Mapping[str, Any]
) -> OpenGate:
    """Draw the sample and run ``dbt build`` up to the gate.

    Args:
        settings: the installation.
        profile: what is released.
        work: the home of the build, from ``work_directory``.
        variables: further dbt variables.

    Raises:
        BuildError: there is no snapshot to build from.
        KeyFileError: the key of the sample can be read by others.
        SnapshotError: the snapshot is not as it was written.
        PublicationError: the build did not end green, or the gate was not built by it.
    """
    asked = {
        "snapshot": current_snapshot(settings),
        **variables,
        "release_profile": profile.name,
        "release_has_sample": True,
    }
    persons = known_persons(settings, asked["snapshot"])
    write_sample(work / DATABASE, draw_sample(settings, profile, persons))
    exit_code = _build(work, asked)
    results_file = work / "target" / "run_results.json"
    if not results_file.is_file():
        raise PublicationError(
            f"dbt ended with exit code {exit_code} before it built anything: "
            "run `dbt build --select +release_gate` to see why."
        )
    results = json.loads(results_file.read_text(encoding="utf-8"))
    gate = _opened(results["results"], exit_code)
    manifest = json.loads((work / "target" / "manifest.json").read_text(encoding="utf-8"))
    return OpenGate(
        build_id=results["metadata"]["invocation_id"],
        schema=manifest["nodes"][gate]["schema"],
        documentation=_documentation(manifest, gate, profile),
        snapshot_id=asked["snapshot"],
        database=work / DATABASE,
    )


def _opened(results: list[dict[str, Any]], exit_code: int) -> str:
    status = {str(row["unique_id"]): row["status"] for row in results}
    opened = [key for key, value in status.items() if key.endswith(f".{GATE}")]
    if exit_code != 0 or not opened or status[opened[0]] != "success":
        failed = sorted(
            _name(key)
            for key, value in status.items()
            if value in ("error", "fail", "runtime error")
        )
        raise PublicationError(
            f"The release gate stays closed: {', '.join(failed) or 'the gate was not built'} "
            "failed. Nothing was written; correct it and release again."
        )
    return opened[0]


def _build(work: Path, variables: Mapping[str, Any]) -> int:
    command = [sys.executable, "-m", "dbt.cli.main", "--no-use-colors", "--quiet", "build"]
    command += ["--exclude-resource-type", "unit_test"]
    # A test that also needs a table outside this selection says nothing about the release, and
    # fails where that table was never built.
    command += ["--select", f"+{GATE}", "--indirect-selection", "buildable"]
    command += ["--target", "duckdb", "--vars", json.dumps(dict(variables))]
    command += ["--project-dir", str(PROJECT_ROOT), "--profiles-dir", str(PROJECT_ROOT)]
    # Compiled SQL and logs of a failed build may quote what they stumbled over: they go, too.
    command += ["--target-path", str(work / "target"), "--log-path", str(work / "target")]
    # An analyst's own may be exported: a release is built in its own file or nowhere.
    environment = {
        **os.environ,
        "SCUTARI_HOME": str(work),
        "SCUTARI_WAREHOUSE": str(work / DATABASE),
        "SCUTARI_SPILL": str(work / "restricted" / "spill"),
    }
    return subprocess.run(
        command, cwd=PROJECT_ROOT, env=environment, capture_output=True, check=False
    ).returncode


def _name(unique_id: str) -> str:
    """Take the readable part of a node's id: tests bear a digest at the end."""
    parts = unique_id.split(".")
    return parts[-2] if parts[0] == "test" and len(parts) > 3 else parts[-1]  # noqa: PLR2004


def _documentation(
    manifest: dict[str, Any], gate: str, profile: Profile
) -> dict[str, dict[str, Any]]:
    nodes = [manifest["nodes"][key] for key in manifest["nodes"][gate]["depends_on"]["nodes"]]
    return {
        node["name"]: {
            "description": node["description"],
            "columns": {
                name: body["description"]
                for name, body in node["columns"].items()
                if name not in profile.left_out_columns
            },
        }
        for node in nodes
    }
