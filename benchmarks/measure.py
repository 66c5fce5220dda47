"""Commands timed as whole processes, in turn, so that a busy machine slows each alike."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from governance.settings import PROJECT_ROOT


@dataclass(frozen=True)
class Run:
    """One process: wall seconds, CPU seconds (its children's included), peak memory in MB."""

    wall: float
    cpu: float
    peak_mb: float
    output: str


def run(
    command: Sequence[str | os.PathLike[str]], env: Mapping[str, str] | None = None, **more: str
) -> Run:
    """Run a command to its end; its output is kept, its errors are an exception."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=PROJECT_ROOT,
        env=os.environ | {"PYTHONPATH": str(PROJECT_ROOT)} | dict(env or {}) | more,
    )
    assert process.stdout is not None and process.stderr is not None
    output = process.stdout.read()
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(
            f"{command[0]} ended with {process.returncode}: {errors.decode()[-2000:]}"
        )
    scale = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return Run(
        time.perf_counter() - begun,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss / scale,
        output.decode(),
    )


def middle(runs: Sequence[Run]) -> Run:
    """The run of median wall time."""
    return sorted(runs, key=lambda one: one.wall)[len(runs) // 2]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """The median of the ratios pair by pair, with the least and the greatest."""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def machine() -> str:
    """Cores, load and versions: what a figure is worth nothing without."""
    packages = ("duckdb", "pyarrow", "polars", "pandas", "dbt-duckdb", "adbc-driver-postgresql")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    load = ", ".join(f"{number:.1f}" for number in os.getloadavg())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{time.strftime('%Y-%m-%d')}, {cores} cores, load {load}, "
        f"Python {sys.version.split()[0]}, {versions}"
    )


def write_settings(home: Path, body: str) -> None:
    """Write an installation's settings."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "scutari.toml").write_text("synthetic = true\n" + body, encoding="utf-8")
