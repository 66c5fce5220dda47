"""``scutari explain``: where an ED registration is counted, and why not elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ops.cli.zones import opened_settings


def add_explain(main: click.Group, home_option: Callable[..., Any]) -> None:
    """Add the command ``explain``."""

    @main.command()
    @home_option
    @click.argument("token")
    def explain(home: Path | None, token: str) -> None:
        """Say where an ED registration is counted, and why not elsewhere.

        TOKEN is its ed_visit_key in core.fct_ed_visits. Shown are all ED registrations of the same
        person, and admissions past the ED, on a timeline, on each hospital's own clock; and each
        measure with the hospital and month that count this one.
        """
        from ops.explain import explain as explained  # noqa: PLC0415

        for line in explained(opened_settings(home), token):
            click.echo(line)
