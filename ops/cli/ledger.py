"""``scutari ledger``: who was given which release."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ops.cli.zones import opened_settings
from ops.release.files import hold
from ops.release.ledger import CLOSED_REASONS, ReleaseLedger, close_release


def add_ledger(main: click.Group, home_option: Callable[..., Any]) -> None:
    """Add the commands of the ledger."""

    @main.group()
    def ledger() -> None:
        """Look up who was given which release, and close what came back."""

    @ledger.command()
    @home_option
    def show(home: Path | None) -> None:
        """Print every release that was given, one line each."""
        settings = opened_settings(home)
        with hold(settings.release):
            for entry in ReleaseLedger(settings).entries:
                click.echo(str(entry))

    @ledger.command()
    @home_option
    @click.argument("release")
    @click.option("--reason", required=True, type=click.Choice(CLOSED_REASONS))
    def close(home: Path | None, release: str, reason: str) -> None:
        """Let a release no longer count: its recipient may be given the same persons again."""
        click.echo(str(close_release(opened_settings(home), release, reason)))
