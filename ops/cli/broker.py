"""``scutari vault request``, ``approve`` and ``lookup``: a worklist's tokens become chart numbers.

Who asks and who approves is the account that runs the command; there is no option for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from extract.broker.papers import APPROVING_ROLES, read_request, write_approval, write_request
from governance.audit.events import PURPOSES, REASONS
from governance.errors import BrokerError
from ops.cli.zones import opened_settings


def add_broker(vault: click.Group, home_option: Callable[..., Any]) -> None:
    """Give the group ``vault`` the broker's three commands."""

    @vault.command()
    @home_option
    @click.option("--hospital", required=True, help="The hospital whose worklist it is: your own.")
    @click.option(
        "--worklist",
        required=True,
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="A file with one token on each line.",
    )
    @click.option("--reason", required=True, type=click.Choice(REASONS))
    @click.option("--purpose", required=True, type=click.Choice(PURPOSES))
    def request(
        home: Path | None, hospital: str, worklist: Path, reason: str, purpose: str
    ) -> None:
        """Ask for the record numbers behind a worklist's tokens."""
        made = write_request(
            opened_settings(home),
            hospital=hospital,
            reason=reason,
            purpose=purpose,
            tokens=_tokens(worklist),
        )
        click.echo(f"request {made.id} of {made.requester}: {len(made.tokens)} tokens")
        click.echo(f"Somebody else approves it with `scutari vault approve {made.id}`.")

    @vault.command()
    @home_option
    @click.argument("request_id", metavar="REQUEST")
    @click.option("--yes", is_flag=True, help="Do not ask before approving.")
    def approve(home: Path | None, request_id: str, yes: bool) -> None:
        """Agree to somebody else's request, as it stands now."""
        settings = opened_settings(home)
        made, paper = read_request(settings, request_id)
        if made.requester != paper.owner:
            raise BrokerError(f"The request is {paper.owner}'s file and names somebody else.")
        click.echo(
            f"{paper.owner} asks for {len(made.tokens)} records of {made.hospital}, "
            f"{made.reason}, {made.purpose}, on {made.requested_at}"
        )
        if not yes:
            click.confirm("Approve?", abort=True)
        approval = write_approval(settings, made.id, paper.sha256)
        role = settings.roles.get(approval.approver)
        if role is None or role.code not in APPROVING_ROLES or approval.approver == paper.owner:
            click.echo("note: the broker will not take it: your role, or your own request.")
        hours = settings.broker_limits.approval_hours
        click.echo(f"approved by {approval.approver}; it holds for {hours} hours and one answer")

    @vault.command()
    @home_option
    @click.argument("request_id", metavar="REQUEST")
    @click.option("--show", is_flag=True, help="Print the answer and leave no file.")
    def lookup(home: Path | None, request_id: str, show: bool) -> None:
        """Answer an approved request, once."""
        from extract.broker.lookup import look_up  # noqa: PLC0415

        answer = look_up(opened_settings(home), request_id, deliver=not show)
        click.echo(answer.text() if show else str(answer), nl=not show)


def _tokens(worklist: Path) -> list[str]:
    try:
        lines = worklist.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        raise BrokerError(
            f"The worklist {worklist} cannot be read as a list of tokens: give a text file with "
            "one token on each line."
        ) from None
    return [line.strip() for line in lines if line.strip()]
