"""dbt in a process of its own, over an installation of a test's making."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from governance.settings import PROJECT_ROOT

NAMED_FROM_HOME = {
    "SCUTARI_WAREHOUSE": "warehouse.duckdb",
    "SCUTARI_SPILL": "restricted/spill/dbt",
}


@dataclass(frozen=True)
class DbtRun:
    """How a dbt command ended."""

    exit_code: int
    output: str
    results: list[dict[str, Any]]

    def not_green(self) -> list[str]:
        """Names and statuses of the nodes that did not end well."""
        good = ("success", "pass", "no-op")
        return [
            f"{row['unique_id']}: {row['status']}"
            for row in self.results
            if row["status"] not in good
        ]


def run_dbt(
    home: Path, target_path: Path, *arguments: str, profiles: Path = PROJECT_ROOT
) -> DbtRun:
    """Run one dbt command over the installation at ``home``; artifacts go to ``target_path``.

    As `ops/build.py` does it, places are named as seen from the home: dbt parses the project anew
    when the profile names another one.
    """
    results = target_path / "run_results.json"
    results.unlink(missing_ok=True)
    if "--target" not in arguments:
        arguments = (*arguments, "--target", "duckdb")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dbt.cli.main", "--no-use-colors", *arguments],
        cwd=home if home.is_dir() else PROJECT_ROOT,
        env=os.environ
        | (NAMED_FROM_HOME if home.is_dir() else {})
        | {
            "SCUTARI_HOME": str(home),
            "DBT_PROFILES_DIR": str(profiles),
            "DBT_PROJECT_DIR": str(PROJECT_ROOT),
            "DBT_TARGET_PATH": str(target_path),
            "DBT_LOG_PATH": str(target_path / "logs"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    rows = json.loads(results.read_text("utf-8"))["results"] if results.exists() else []
    return DbtRun(done.returncode, done.stdout + done.stderr, rows)


def parse_project(home: Path) -> Path:
    """Let dbt parse the project once; return its file, which spares other runs the same work."""
    run = run_dbt(home, home, "parse")
    assert run.exit_code == 0, run.output
    return home / "partial_parse.msgpack"
