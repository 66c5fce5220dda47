"""The dbt build as one recorded step.

dbt replaces tables one by one, so a warehouse file after a failure is a mixture of two builds. The
record ``warehouse.build.json`` beside it says which snapshot the last whole green build came from;
it is removed before a build starts and written only when every model and test succeeded.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from extract.erasure.state import last_head
from governance.audit.log import Action, audited
from governance.errors import BuildError
from governance.settings import PROJECT_ROOT, Settings
from ops.encryption import check_encryption
from ops.warehouse import current_snapshot, dbt_spill, held

GATE = "publication_gate"
FAILURES_NAMED = 5
COMPILATION_ERROR_LENGTH = 600


@dataclass(frozen=True)
class BuildRecord:
    """What the last whole green build was."""

    snapshot_id: str
    finished_at: str
    is_green: bool
    models: list[str]
    warehouse_bytes: int
    warehouse_mtime_ns: int
    # The last erasure of all when it was built: an older warehouse put back is not published.
    tombstones: str = ""


@dataclass(frozen=True)
class BuildResult:
    """What one build did."""

    snapshot_id: str
    models_count: int
    tests_count: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.models_count} models and {self.tests_count} tests green "
            f"from snapshot {self.snapshot_id}"
        )


def record_path(settings: Settings) -> Path:
    """Return where the record of the last whole green build lies."""
    return settings.builders / "warehouse.build.json"


def target_path(settings: Settings) -> Path:
    """Return dbt's target directory of this installation.

    Not where others read, and the log with it: the message of a failing statement holds values.
    """
    return settings.work / "build" / "target"


def run_build(
    settings: Settings, *, target: str | None = None, select: str | None = None
) -> BuildResult:
    """Run ``dbt build`` over one snapshot and record it when it was whole and green.

    Models, seeds and data tests; unit tests are run by ``make test`` and by a plain ``dbt build``.

    Args:
        settings: the installation.
        target: the dbt target; where none is named, the one whose file is published.
        select: a dbt selection; a partial build is never recorded.

    Raises:
        AuditError: the audit log cannot be written.
        BuildError: there is no snapshot, another build is running, or dbt did not end green.
        SettingsError: the warehouse cannot be encrypted.
        SnapshotError: the snapshot is not as it was written.
    """
    started = time.monotonic()
    published = "encrypted" if settings.encryption else "duckdb"
    target = target or published
    if target == "encrypted":
        check_encryption(settings)
    with held(settings) as lock, _audited(settings, target, select) as (action, snapshot_id):
        if target == published:
            record_path(settings).unlink(missing_ok=True)
        results_path = target_path(settings) / "run_results.json"
        results_path.unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", "dbt.cli.main", "build", "--target", target]
        command += ["--project-dir", str(PROJECT_ROOT), "--profiles-dir", str(PROJECT_ROOT)]
        # What dbt logs for its own debugging takes a tenth of its time.
        command += ["--log-level-file", "info"]
        # Unit tests hold the code to worked cases, whatever the data: they belong to a change.
        command += ["--exclude-resource-type", "unit_test"]
        if select is not None:
            command += ["--select", *select.split()]
        # dbt prints the message of a failing statement, and a cast error's message holds the value:
        # its output is not passed on.
        done = subprocess.run(
            command,
            cwd=settings.warehouse.parent,
            env=_environment(settings, snapshot_id),
            capture_output=True,
            check=False,
            pass_fds=[lock],
        )
        results = _read_results(results_path)
        if done.returncode != 0 or not results or not _all_succeeded(results):
            raise BuildError(_failure(settings, results, done.stdout.decode(errors="replace")))
        result = BuildResult(
            snapshot_id=snapshot_id,
            models_count=len(_names(results, "model")),
            tests_count=len(_names(results, "test")),
            seconds=time.monotonic() - started,
        )
        if target == published and select is None:
            write_record(settings, snapshot_id, _names(results, "model"))
        action.add(models=result.models_count, tests=result.tests_count)
    return result


@contextmanager
def _audited(settings: Settings, target: str, select: str | None) -> Iterator[tuple[Action, str]]:
    snapshot_id = current_snapshot(settings)
    with audited(
        settings,
        "build",
        target=target if target in ("duckdb", "encrypted", "spark") else "other",
        is_partial=select is not None,
        snapshot_id=snapshot_id,
    ) as action:
        yield action, snapshot_id


def _environment(settings: Settings, snapshot_id: str) -> dict[str, str]:
    # dbt parses the project anew (as long as all else of a small build) when a variable of the
    # command line or a place in the profile changes. So the snapshot comes by the environment, and
    # the file is named as seen from its own directory: the same each night, and in every home.
    here = settings.warehouse.parent
    return os.environ | {
        "SCUTARI_HOME": str(settings.home),
        "SCUTARI_SNAPSHOT": snapshot_id,
        "DBT_PROFILES_DIR": str(PROJECT_ROOT),
        "DBT_TARGET_PATH": str(target_path(settings)),
        "SCUTARI_WAREHOUSE": settings.warehouse.name,
        "SCUTARI_SPILL": os.path.relpath(dbt_spill(settings), here),
        "DBT_LOG_PATH": str(settings.work / "build" / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


def _read_results(path: Path) -> list[dict[str, Any]]:
    try:
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
    except (OSError, ValueError, KeyError):
        return []
    return list(results)


def _all_succeeded(results: list[dict[str, Any]]) -> bool:
    # "warn" is a test that may pass with a reason; "skipped" means something above it failed.
    return all(result["status"] in ("success", "pass", "warn", "no-op") for result in results)


def _names(results: list[dict[str, Any]], kind: str) -> list[str]:
    parts = [str(result["unique_id"]).split(".") for result in results]
    return sorted(part[2] for part in parts if part[0] == kind)


def _failure(settings: Settings, results: list[dict[str, Any]], output: str) -> str:
    log = settings.work / "build" / "logs" / "dbt.log"
    failed = [
        str(result["unique_id"]).split(".")[2]
        for result in results
        if result["status"] in ("error", "fail", "runtime error", "partial success")
    ]
    if not failed:
        why = _compilation_error(output)
        return f"dbt could not start the build of {settings.warehouse}: {why or f'read {log}.'}"
    named = ", ".join(failed[:FAILURES_NAMED])
    more = f" and {len(failed) - FAILURES_NAMED} more" if len(failed) > FAILURES_NAMED else ""
    return (
        f"The dbt build of {settings.warehouse} failed in {named}{more}: read {log}, mend it and "
        "run `scutari build` again; what is published stays as it was."
    )


def _compilation_error(output: str) -> str:
    """Return what dbt said of the project's own files, in one line: no data are read for that."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines()
    starts = [n for n, line in enumerate(lines) if "Compilation Error" in line]
    if not starts:
        return ""
    said = (re.sub(r"^\d\d:\d\d:\d\d", "", line).strip() for line in lines[starts[0] :])
    return " ".join(line for line in said if line)[:COMPILATION_ERROR_LENGTH]


def write_record(settings: Settings, snapshot_id: str, models: list[str]) -> None:
    """Record a whole green build with the warehouse file as it is now."""
    if GATE not in models:
        return
    status = settings.warehouse.stat()
    record = BuildRecord(
        snapshot_id=snapshot_id,
        finished_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        is_green=True,
        models=models,
        warehouse_bytes=status.st_size,
        warehouse_mtime_ns=status.st_mtime_ns,
        tombstones=last_head(settings),
    )
    path = record_path(settings)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def read_record(settings: Settings) -> BuildRecord:
    """Return the record of the last whole green build, checked against the warehouse file.

    Raises:
        BuildError: there is no record, or the warehouse file was written to after it.
    """
    path = record_path(settings)
    advice = "run `scutari build` and publish again"
    try:
        record = BuildRecord(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise BuildError(
            f"{settings.warehouse} has no whole green build behind it: {advice}."
        ) from None
    except (OSError, ValueError, TypeError):
        raise BuildError(f"The build record {path} cannot be read: {advice}.") from None
    if not record.is_green or GATE not in record.models:
        raise BuildError(f"The last build of {settings.warehouse} was not green: {advice}.")
    if not settings.warehouse.is_file():
        raise BuildError(f"There is no warehouse file {settings.warehouse}: {advice}.")
    status = settings.warehouse.stat()
    if (status.st_size, status.st_mtime_ns) != (record.warehouse_bytes, record.warehouse_mtime_ns):
        raise BuildError(
            f"{settings.warehouse} was changed after its last whole green build: {advice}."
        )
    if record.tombstones != last_head(settings):
        raise BuildError(f"{settings.warehouse} was built before a person was erased: {advice}.")
    return record
