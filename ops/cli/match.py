"""``scutari match``: who is one person, decided by hand, and how well it is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from governance.audit.events import MATCH_REASONS
from ops.cli.zones import demo_option
from ops.cli.zones import opened_settings as load_settings


def _home(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        default=None,
        help="Where all data live (default: SCUTARI_HOME or var/).",
    )(demo_option(command))


_REASON = click.option(
    "--reason", required=True, type=click.Choice(MATCH_REASONS), help="Why, as a code."
)


@click.group()
def match() -> None:
    """Decide which registrations are one person, and see how well it is found."""


@match.command()
@_home
@click.argument("token")
@click.argument("other_token")
@_REASON
def merge(home: Path | None, token: str, other_token: str, reason: str) -> None:
    """Record that two registrations are one person, from the next snapshot on."""
    from ops.matching.decisions import decide  # noqa: PLC0415

    click.echo(decide(load_settings(home), "merge", (token, other_token), reason))


@match.command()
@_home
@click.argument("token")
@click.argument("other_token")
@_REASON
def unmerge(home: Path | None, token: str, other_token: str, reason: str) -> None:
    """Record that two registrations are two persons, from the next snapshot on."""
    from ops.matching.decisions import decide  # noqa: PLC0415

    click.echo(decide(load_settings(home), "unmerge", (token, other_token), reason))


@match.command()
@_home
@click.argument("number", type=click.IntRange(min=1))
@_REASON
def undo(home: Path | None, number: int, reason: str) -> None:
    """Take the decision NUMBER back, from the next snapshot on."""
    from ops.matching.decisions import undo as take_back  # noqa: PLC0415

    click.echo(take_back(load_settings(home), number, reason))


@match.command("list")
@_home
def list_(home: Path | None) -> None:
    """Print every decision, oldest first."""
    from ops.matching.decisions import list_decisions  # noqa: PLC0415

    for line in list_decisions(load_settings(home)) or ["no decision yet"]:
        click.echo(line)


@match.command()
@_home
def report(home: Path | None) -> None:
    """Print counts of the current snapshot's matching; no registration and no person."""
    from ops.matching.report import match_report  # noqa: PLC0415

    for line in match_report(load_settings(home)):
        click.echo(line)
