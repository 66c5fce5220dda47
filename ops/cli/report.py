"""``scutari report``: the page of a hospital and quarter, or of all hospitals in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from governance.errors import ReportError, ScutariError
from ops.cli.zones import opened_settings

if TYPE_CHECKING:
    from ops.reports.write import Batch


def add_report(main: click.Group, home_option: Callable[..., Any]) -> None:
    """Add the command ``report``."""

    @main.command()
    @home_option
    @click.option("--hospital", help="The hospital's code; every hospital where none is given.")
    @click.option("--quarter", required=True, help="Such as 2026-Q1.")
    @click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        help="Where to write (default: reports/ of the installation).",
    )
    def report(home: Path | None, hospital: str | None, quarter: str, out: Path | None) -> None:
        """Write a hospital's quarter as PDF and HTML, from what was published last."""
        from ops.reports.write import opened_batch  # noqa: PLC0415

        with opened_batch(opened_settings(home), quarter, out) as batch:
            if hospital is not None:
                click.echo(f"PDF and HTML in {batch.write(batch.require(hospital))}")
                return
            failures = _write_all(batch, list(batch.hospitals))
            written = len(batch.hospitals) - len(failures)
            click.echo(f"Reports of {written} hospitals in {batch.directory}")
            if failures:
                raise ReportError(
                    f"{len(failures)} of {len(batch.hospitals)} hospitals have no new report: "
                    + " ".join(f"{key}: {words}" for key, words in failures.items())
                )


def _write_all(batch: Batch, hospitals: Sequence[str]) -> dict[str, str]:
    """Write every hospital's report; return what went wrong, by hospital."""
    failures: dict[str, str] = {}
    with click.progressbar(hospitals, label=f"Reports of {batch.quarter}") as bar:
        for hospital in bar:
            try:
                batch.write(hospital)
            except ScutariError as error:
                failures[hospital] = str(error)
            except OSError as error:
                failures[hospital] = f"{error.filename}: {error.strerror}."
            except Exception as error:
                # One hospital's odd data are no reason to leave the others without; a library's
                # message can hold the value it stumbled over.
                failures[hospital] = f"A defect of Scutari: {type(error).__name__}; report it."
    return failures
