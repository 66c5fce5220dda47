"""``python -m benchmarks [NAME ...]``: run benchmarks and print what they measured."""

from __future__ import annotations

import shutil
import tempfile
import time
from importlib import import_module
from pathlib import Path

import click

from benchmarks import measure
from benchmarks.postgres import Skipped

NAMES = (
    "snapshot_postgres",
    "snapshot_sqlite",
    "matching",
    "ed_returns",
    "release_gate",
    "ontario",
    "ed_programme",
)
# A quarter of an hour long and more: only where it is asked for.
LONG = frozenset({"ontario", "ed_programme"})


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--rows", type=int, help="Rows of the large table, or ED visits; default by name.")
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep what was planted under this directory and use it again.",
)
def main(names: tuple[str, ...], rows: int | None, home: Path | None) -> None:
    """Run the named benchmarks, or all but the long ones."""
    click.echo(measure.machine())
    for name in names or [name for name in NAMES if name not in LONG]:
        kept = home / name if home else None
        directory = kept or Path(tempfile.mkdtemp(prefix="scutari-benchmark-"))
        directory.mkdir(parents=True, exist_ok=True)
        begun = time.perf_counter()
        click.echo(f"\n{name}")
        try:
            for line in import_module(f"benchmarks.{name}").main(directory, rows):
                click.echo(f"  {line}")
        except Skipped as reason:
            click.echo(f"  skipped: {reason}")
        finally:
            if kept is None:
                shutil.rmtree(directory, ignore_errors=True)
        click.echo(f"  ({time.perf_counter() - begun:.0f} s in all)")


if __name__ == "__main__":
    main()
