"""``scutari zones``, and the look at accounts and zones with which every command starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from extract.broker.keys import give_master_key
from governance.errors import ZoneError
from governance.settings import SETTINGS_FILE, Settings, load_settings
from governance.zones import ADMINISTRATOR, check_start, check_zones, look, prepare_zones

_DEMO = "scutari.is_demo"
# Whose account a command is for: root's where every zone has a part in it; None: anybody's, and the
# files it reads decide. A command that does not stand here is the extractor's: no other account may
# do less with more.
_ZONE_OF: dict[str, str | None] = {
    "audit head": None,
    "audit show": None,
    "audit verify": None,
    "build": "builder",
    "chart-audit hand-over": "dashboards",
    "dashboard": "dashboards",
    "erase": ADMINISTRATOR,
    "explain": None,
    "ledger close": "release",
    "ledger show": "release",
    "publish": "builder",
    "release": "release",
    "report": "dashboards",
    "status": None,
    "vault approve": None,
    "vault lookup": "broker",
    "vault request": None,
    "worklist export": None,
}


def demo_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--demo``; the look at the start asks for it."""

    def keep(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        context.meta[_DEMO] = value

    return click.option(
        "--demo",
        is_flag=True,
        expose_value=False,
        callback=keep,
        help="One account holds all zones of a real installation: nobody is protected from it.",
    )(command)


def opened_settings(home: Path | None) -> Settings:
    """Read the settings and refuse an account or zones that are not as they must be.

    Raises:
        SettingsError: the settings cannot be read.
        ZoneError: a real installation names no accounts, or is not parted as it says.
    """
    settings = load_settings(home)
    context = click.get_current_context()
    words = _words(context)
    if words == "run" and settings.accounts is not None:
        raise ZoneError(
            f"{settings.home / SETTINGS_FILE} names accounts, and `scutari run` would need two of "
            f"them: run `scutari snapshot` as {settings.accounts.extractor}, then `scutari build` "
            f"and `scutari publish` as {settings.accounts.builder} (docs/zones.md)."
        )
    check_start(settings, _ZONE_OF.get(words, "extractor"), is_demo=context.meta.get(_DEMO, False))
    return settings


def _words(context: click.Context) -> str:
    """Return a command's name within the program, however the program itself was called."""
    words: list[str] = []
    while context.parent is not None:
        words.insert(0, context.info_name or "")
        context = context.parent
    return " ".join(words)


def add_zones(main: click.Group, home_option: Callable[..., Any]) -> None:
    """Give the command line its command ``zones``."""

    @main.command()
    @home_option
    @click.option("--prepare", is_flag=True, help="As root: make every directory as it must be.")
    @click.option("--check", "is_check", is_flag=True, help="Fail where one is not.")
    def zones(home: Path | None, prepare: bool, is_check: bool) -> None:
        """Show every zone's directory: the mode and owner it must have, and those it has."""
        settings = load_settings(home)
        if settings.accounts is None:
            raise ZoneError(
                f"{settings.home / SETTINGS_FILE} names no accounts: add [accounts] as "
                "docs/zones.md shows."
            )
        if prepare:
            count = prepare_zones(settings, settings.accounts)
            click.echo(f"{count} directories prepared; {give_master_key(settings)}")
        for found in look(settings, settings.accounts):
            click.echo(str(found))
        if is_check:
            check_zones(settings, settings.accounts)
