"""``scutari erase`` and ``scutari retain``."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

from governance.audit.events import ERASURE_REASONS
from governance.errors import ErasureError
from governance.settings import Settings
from ops.cli.zones import demo_option
from ops.cli.zones import opened_settings as load_settings

# A token and a line end; whatever is longer is another file.
_MOST_READ = 64


@click.command("erase")
@demo_option
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Where all data live (default: SCUTARI_HOME or var/).",
)
@click.option(
    "--person",
    type=click.File(),
    default=None,
    help="A file with a registration token or person id; - reads it from standard input.",
)
@click.option("--reason", type=click.Choice(ERASURE_REASONS), default=None)
@click.option("--dry-run", is_flag=True, help="Say what would go; change nothing.")
@click.option("--confirm", "request", default=None, help="The request that the dry run gave out.")
@click.option("--again", is_flag=True, help="Apply every tombstone again, as after a restore.")
@click.option("--build/--no-build", default=True, help="Build and publish anew at the end.")
def erase(
    *,
    home: Path | None,
    person: TextIO | None,
    reason: str | None,
    dry_run: bool,
    request: str | None,
    again: bool,
    build: bool,
) -> None:
    """Take a person out of vault, snapshots, warehouse and figures, and keep them out."""
    from ops.erasure import apply_again, erase_person, plan_person  # noqa: PLC0415

    settings = load_settings(home)
    if again:
        if person is not None or reason is not None or dry_run or request is not None:
            raise click.UsageError("--again takes neither a person nor a reason.")
        click.echo(str(apply_again(settings, _say)))
        _build_and_publish(settings, wanted=build)
        return
    if person is None or reason is None:
        raise click.UsageError("Name the person with --person FILE and the --reason, or --again.")
    named = _read(person)
    if dry_run or request is None:
        plan = plan_person(settings, named, reason)
        rows = ", ".join(f"{name} {count:,}" for name, count in plan.rows.items()) or "none"
        click.echo(
            f"{plan.registrations} registrations; rows of the newest snapshot: {rows}; "
            f"{plan.snapshots} snapshots, {plan.files} lake files. Nothing was changed.\n"
            f"To erase them, run the same with --confirm {plan.request} and without --dry-run."
        )
        return
    click.echo(str(erase_person(settings, named, reason, request, _say)))
    _build_and_publish(settings, wanted=build)


@click.command("retain")
@demo_option
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Where all data live (default: SCUTARI_HOME or var/).",
)
@click.option("--dry-run", is_flag=True, help="Say what would go; change nothing.")
def retain(*, home: Path | None, dry_run: bool) -> None:
    """Remove what is older than [retention] of scutari.toml says."""
    from extract.retention import expired  # noqa: PLC0415
    from extract.retention import retain as remove  # noqa: PLC0415

    settings = load_settings(home)
    if dry_run:
        click.echo(f"would go: {expired(settings)}")
    else:
        click.echo(f"removed: {remove(settings)}")


def _read(person: TextIO) -> str:
    text = person.read(_MOST_READ + 1)
    if len(text) > _MOST_READ:
        raise ErasureError("The file given as --person is longer than a token: nothing was done.")
    return text.strip()


def _build_and_publish(settings: Settings, *, wanted: bool) -> None:
    if not wanted or settings.accounts is not None:
        whose = f" as {settings.accounts.builder}" if settings.accounts else ""
        click.echo(f"Nothing is published now: run `scutari build` and `scutari publish`{whose}.")
        return
    from ops.build import run_build  # noqa: PLC0415
    from ops.publication.publish import publish  # noqa: PLC0415

    click.echo(str(run_build(settings)))
    click.echo(str(publish(settings)))


def _say(message: str) -> None:
    click.echo(f"  {message}")


def register(group: click.Group) -> None:
    """Add the commands to the command line."""
    group.add_command(erase)
    group.add_command(retain)
