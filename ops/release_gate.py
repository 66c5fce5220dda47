"""Build the research tables with dbt and say whether their gate opened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from governance.errors import BuildError, PublicationError
from governance.settings import PROJECT_ROOT, Settings
from ops.build import read_record, write_record
from ops.warehouse import current_snapshot, held

GATE = "release_gate"


@dataclass(frozen=True)
class OpenGate:
    """A gate that succeeded: the build it belongs to and what its tables hold."""

    build_id: str
    schema: str
    documentation: dict[str, dict[str, Any]]


def open_gate(settings: Settings, variables: Mapping[str, Any]) -> OpenGate:
    """Run ``dbt build`` up to the gate.

    Raises:
        BuildError: there is no snapshot to build from, or another build is running.
        SnapshotError: the snapshot is not as it was written.
        PublicationError: the build did not end green, or the gate was not built by it.
    """
    with held(settings) as lock:
        snapshot_id = current_snapshot(settings)
        models = _recorded_models(settings, snapshot_id)
        gate = _open(settings, variables, lock)
        if models and not variables:
            # What was built again is what the record speaks of: the same snapshot, the same code.
            write_record(settings, snapshot_id, models)
    return gate


def _recorded_models(settings: Settings, snapshot_id: str) -> list[str]:
    try:
        record = read_record(settings)
    except BuildError:
        return []
    return record.models if record.snapshot_id == snapshot_id else []


def _open(settings: Settings, variables: Mapping[str, Any], lock: int) -> OpenGate:
    # Compiled SQL and logs of a failed build may quote what they stumbled over.
    target = settings.restricted / "release_build"
    target.mkdir(parents=True, exist_ok=True)
    results_file = target / "run_results.json"
    results_file.unlink(missing_ok=True)
    exit_code = _build(settings, target, variables, lock)
    if not results_file.is_file():
        raise PublicationError(
            f"dbt ended with exit code {exit_code} before it built anything: "
            "run `dbt build --select +release_gate` to see why."
        )
    results = json.loads(results_file.read_text(encoding="utf-8"))
    status = {row["unique_id"]: row["status"] for row in results["results"]}
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
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    return OpenGate(
        build_id=results["metadata"]["invocation_id"],
        schema=manifest["nodes"][opened[0]]["schema"],
        documentation=_documentation(manifest, opened[0]),
    )


def _build(settings: Settings, target: Path, variables: Mapping[str, Any], lock: int) -> int:
    command = [sys.executable, "-m", "dbt.cli.main", "--no-use-colors", "--quiet", "build"]
    command += ["--exclude-resource-type", "unit_test"]
    # A test that also needs a table outside this selection says nothing about the release, and
    # fails where that table was never built.
    command += ["--select", f"+{GATE}", "--indirect-selection", "buildable"]
    command += ["--target", "duckdb", "--vars", json.dumps(dict(variables))]
    command += ["--project-dir", str(PROJECT_ROOT), "--profiles-dir", str(PROJECT_ROOT)]
    command += ["--target-path", str(target), "--log-path", str(target)]
    environment = {**os.environ, "SCUTARI_HOME": str(settings.home)}
    return subprocess.run(
        command,
        cwd=PROJECT_ROOT,
        env=environment,
        capture_output=True,
        check=False,
        pass_fds=[lock],
    ).returncode


def _name(unique_id: str) -> str:
    """Take the readable part of a node's id: tests bear a digest at the end."""
    parts = unique_id.split(".")
    return parts[-2] if parts[0] == "test" and len(parts) > 3 else parts[-1]  # noqa: PLR2004


def _documentation(manifest: dict[str, Any], gate: str) -> dict[str, dict[str, Any]]:
    nodes = [manifest["nodes"][key] for key in manifest["nodes"][gate]["depends_on"]["nodes"]]
    return {
        node["name"]: {
            "description": node["description"],
            "columns": {name: body["description"] for name, body in node["columns"].items()},
        }
        for node in nodes
    }
