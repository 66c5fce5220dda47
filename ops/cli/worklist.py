"""``scutari worklist`` and ``scutari chart-audit``: cases and reviews handed on, or moved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from chart_audit.hand_over import hand_over
from ops.cli.zones import opened_settings
from ops.publication.worklist import export_worklist


def add_worklist(main: click.Group, home_option: Callable[..., Any]) -> None:
    """Add the groups ``worklist`` and ``chart-audit``."""

    @main.group()
    def worklist() -> None:
        """Hand on the ED returns that a hospital reviews."""

    @worklist.command()
    @home_option
    @click.option("--hospital", required=True, help="The hospital whose worklist it is: your own.")
    @click.option("--quarter", required=True, help="Such as 2026-Q1.")
    @click.option(
        "--out",
        required=True,
        type=click.Path(path_type=Path, dir_okay=False),
        help="The file to write, for `scutari vault request --worklist`.",
    )
    def export(home: Path | None, hospital: str, quarter: str, out: Path) -> None:
        """Write the tokens of a quarter's cases, one a line."""
        count = export_worklist(opened_settings(home), hospital, quarter, out)
        click.echo(f"{count} tokens in {out}: ask with `scutari vault request --worklist {out}`")

    @main.group(name="chart-audit")
    def chart_audit() -> None:
        """Hand on what reviewers have submitted, or move where it is kept."""

    @chart_audit.command(name="hand-over")
    @home_option
    def hand_reviews_over(home: Path | None) -> None:
        """Hand the submitted reviews of all hospitals over to the extractor."""
        settings = opened_settings(home)
        click.echo(f"handed over: {hand_over(settings)} in {settings.chart_reviews}")

    @chart_audit.command()
    @home_option
    def move(home: Path | None) -> None:
        """Move the reviews from their files into the PostgreSQL that the settings name."""
        from chart_audit.move import move_reviews  # noqa: PLC0415

        moved = move_reviews(opened_settings(home))
        click.echo(f"moved: the reviews of {len(moved)} hospitals")
