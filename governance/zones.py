"""Which directory belongs to whom, and whether it does: looked at when a command starts.

The operating system's permissions are what keeps an account out of a zone. This module says what
they must be, makes them so (``scutari zones --prepare``, as root) and refuses to start where they
are not. It adds no protection of its own.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from governance.accounts import (
    ZONE_ACCOUNTS,
    Accounts,
    account_name,
    group_name,
    members,
    own_account,
)
from governance.errors import ZoneError
from governance.settings import SETTINGS_FILE, Settings

ADMINISTRATOR = "root"
# Files are for their owner and the group that their directory hands on, never for others.
UMASK = 0o027
PREPARE = "run `scutari zones --prepare` as root, or mend it with chown and chmod"


@dataclass(frozen=True)
class Wanted:
    """What a directory must be like.

    Attributes:
        path: the directory.
        owner: its account.
        mode: its permissions; a group that shall inherit comes with the set-group-id bit.
        group: the group that may enter it; None where none can or any may be.
        entrants: the accounts that may be in that group beside the owner.
    """

    path: Path
    owner: str
    mode: int
    group: str | None = None
    entrants: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Found:
    """A directory as it must be and as it is."""

    wanted: Wanted
    fault: str | None

    def __str__(self) -> str:
        wanted = self.wanted
        says = f"{wanted.mode:4o} {wanted.owner} {wanted.group or '-'} {wanted.path}"
        return f"{says}: {self.fault}" if self.fault else f"{says}: as it must be"


def wanted_directories(settings: Settings, accounts: Accounts) -> list[Wanted]:
    """Return every directory of an installation with accounts, each after the one it lies in."""
    names = accounts
    readers = frozenset({names.builder, names.release, names.broker})
    directories = [
        Wanted(settings.home, ADMINISTRATOR, 0o755),
        Wanted(settings.lake, names.extractor, 0o2750, names.lake_readers, readers),
        _opened_to(settings.vault, names.extractor, names.broker),
        Wanted(settings.restricted, names.extractor, 0o700),
        Wanted(settings.builders, names.builder, 0o700),
        _opened_to(settings.published, names.builder, names.dashboards),
        _opened_to(settings.operational, names.builder, names.dashboards),
        # The pages alone write and read it.
        Wanted(settings.chart_audit, names.dashboards, 0o700),
        Wanted(settings.reports, names.dashboards, 0o700),
        _opened_to(settings.chart_reviews.parent, names.dashboards, names.extractor),
        Wanted(settings.release, names.release, 0o700),
        # Who reads the lake must know which erasures it has to name.
        Wanted(settings.tombstones, names.extractor, 0o2750, names.lake_readers, readers),
        Wanted(settings.audit, ADMINISTRATOR, 0o755),
        Wanted(settings.broker, ADMINISTRATOR, 0o755),
        Wanted(settings.broker / "keys", names.broker, 0o700),
        Wanted(settings.broker / "ledger", names.broker, 0o700),
        # Anybody may lay something down; nobody but the broker can list, nobody can take away or
        # replace what is another's.
        Wanted(settings.broker / "requests", names.broker, 0o1733),
        Wanted(settings.broker / "approvals", names.broker, 0o1733),
        Wanted(settings.broker / "answers", ADMINISTRATOR, 0o755),
    ]
    for zone in ZONE_ACCOUNTS:
        account = getattr(names, zone)
        directories.append(Wanted(settings.audit / account, account, 0o750))
    for account in sorted(settings.roles):
        if _exists(account):  # people leave; what they have no account for stays as it is
            answers = settings.broker / "answers" / account
            directories.append(_opened_to(answers, names.broker, account))
    return directories


def look(settings: Settings, accounts: Accounts) -> list[Found]:
    """Return what every directory must be like and in what it differs."""
    return [
        Found(wanted, _fault(wanted, accounts)) for wanted in wanted_directories(settings, accounts)
    ]


def check_zones(settings: Settings, accounts: Accounts) -> None:
    """Refuse zones that an account can open which has no business there.

    Raises:
        ZoneError: a directory or the settings file has another owner, group or mode.
    """
    faults = list(_settings_faults(settings))
    faults += [
        f"{found.wanted.path} {found.fault}" for found in look(settings, accounts) if found.fault
    ]
    if faults:
        more = f"; and {len(faults) - 1} more (see `scutari zones`)" if len(faults) > 1 else ""
        raise ZoneError(f"{faults[0]}{more}: {PREPARE}.")


def prepare_zones(settings: Settings, accounts: Accounts) -> int:
    """Make every directory with its owner and mode; return how many there are.

    Only directories whose parent is root's are touched: nobody can put a link in their place.

    Raises:
        ZoneError: not root is asking, an account is missing, or a directory is a link.
    """
    if os.geteuid() != 0:
        raise ZoneError("Only root can give directories away: run `scutari zones --prepare` so.")
    directories = wanted_directories(settings, accounts)
    for wanted in directories:
        wanted.path.mkdir(mode=0o700, exist_ok=True)
        if wanted.path.is_symlink():
            raise ZoneError(
                f"{wanted.path} is a link: mount the other volume there instead, because a link "
                "inside a zone could lead root anywhere."
            )
        owner = pwd.getpwnam(wanted.owner).pw_uid
        os.chown(wanted.path, owner, _group_number(wanted), follow_symlinks=False)
        wanted.path.chmod(wanted.mode)
    (settings.home / SETTINGS_FILE).chmod(0o644)
    return len(directories)


def check_start(settings: Settings, zone: str | None, *, is_demo: bool) -> None:
    """Refuse a command under an account that must not run it, or over zones that are open.

    Args:
        settings: the installation.
        zone: whose account the command is for; root's where it does a part as each account; None
            where it is for people of any account.
        is_demo: ``--demo`` was given: one account may hold all zones.

    Raises:
        ZoneError: the installation is real and names no accounts, this is not the account of the
            command, or a zone is not as it must be.
    """
    accounts = settings.accounts
    where = settings.home / SETTINGS_FILE
    if accounts is None:
        if settings.is_synthetic or is_demo:
            return
        raise ZoneError(
            f"{where} names no accounts, so one account would hold every zone, names and published "
            "figures alike: add [accounts] as docs/zones.md shows, or give --demo if nobody is "
            "to be protected from this account."
        )
    if is_demo:
        raise ZoneError(f"{where} names accounts: leave --demo out.")
    os.umask(UMASK)
    wanted = ADMINISTRATOR if zone == ADMINISTRATOR else getattr(accounts, zone) if zone else None
    if wanted is not None and own_account() != wanted:
        named = "it does the part of each zone as its account" if zone == wanted else zone
        raise ZoneError(
            f"This command is for the account {wanted} ({named}, {where}) and was started by "
            f"{own_account()}: run it as {wanted}."
        )
    check_zones(settings, accounts)
    readers = (accounts.builder, accounts.release, accounts.broker)
    number = grp.getgrnam(accounts.lake_readers).gr_gid
    if wanted in readers and number not in (*os.getgroups(), os.getegid()):
        raise ZoneError(
            f"{wanted} is not in the group {accounts.lake_readers} and cannot read the lake: "
            "add it to the group and log in again."
        )


def _opened_to(path: Path, owner: str, reader: str) -> Wanted:
    """A directory that another account reads through its own group."""
    group = group_name(pwd.getpwnam(reader).pw_gid)
    return Wanted(path, owner, 0o2750, group, frozenset({reader}))


def _exists(account: str) -> bool:
    try:
        pwd.getpwnam(account)
    except KeyError:
        return False
    return True


def _settings_faults(settings: Settings) -> Iterator[str]:
    path = settings.home / SETTINGS_FILE
    information = path.lstat()
    if information.st_uid != 0 or information.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield (
            f"{path} says who may do what and must be root's alone to write, but is "
            f"{stat.S_IMODE(information.st_mode):o} {account_name(information.st_uid)}"
        )


def _fault(wanted: Wanted, accounts: Accounts) -> str | None:
    try:
        information = wanted.path.lstat()
    except FileNotFoundError:
        # Of somebody with a new role: the broker asks for it when there is an answer to leave.
        return None if wanted.path.parent.name == "answers" else "does not exist"
    owner, mode = account_name(information.st_uid), stat.S_IMODE(information.st_mode)
    group = group_name(information.st_gid)
    if not stat.S_ISDIR(information.st_mode):
        return "must be a directory and is none"
    if (owner, mode) != (wanted.owner, wanted.mode) or group != (wanted.group or group):
        whose = f" and group {wanted.group}" if wanted.group else ""
        return (
            f"must be {wanted.mode:o} of account {wanted.owner}{whose}, but is {mode:o} of "
            f"{owner} and group {group}"
        )
    if not mode & stat.S_IRWXO and mode & stat.S_IRWXG:
        return _strangers(wanted, accounts, information.st_gid)
    return None


def _strangers(wanted: Wanted, accounts: Accounts, gid: int) -> str | None:
    try:
        inside = members(gid) - {wanted.owner, ADMINISTRATOR}
    except KeyError:
        return f"has a group #{gid} that this machine does not know"
    if wanted.group is None:
        # A group of the administrator's choice, such as auditors, but of no other zone's account.
        inside &= {getattr(accounts, zone) for zone in ZONE_ACCOUNTS}
    others = sorted(inside - wanted.entrants)
    if others:
        return f"is open to group {group_name(gid)}, in which {others[0]} has no business"
    return None


def _group_number(wanted: Wanted) -> int:
    """Return the group that a directory gets: its own stays where any may be."""
    if wanted.group is not None:
        return grp.getgrnam(wanted.group).gr_gid
    if wanted.mode & stat.S_IRWXO:
        return 0
    found = wanted.path.stat().st_gid
    return found if found else pwd.getpwnam(wanted.owner).pw_gid
