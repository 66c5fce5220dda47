"""Who may do what: the accounts of the zones, the roles of people, the limits of the broker.

All three stand in ``scutari.toml``, which none of these accounts may write.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
from dataclasses import dataclass, fields

from governance.errors import SettingsError

ROLES = ("data_steward", "honest_broker", "operator", "quality_team", "researcher")

_NAME = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
_HOSPITAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Accounts:
    """The operating system's accounts, one for each zone, and the group that reads the lake.

    Attributes:
        extractor: takes snapshots; owns vault, restricted zone and lake.
        builder: runs dbt and publishes; owns warehouse, published and operational files.
        release: writes research files.
        dashboards: serves the pages.
        broker: answers which record a token stands for; reads the vault.
        lake_readers: the group of builder, release and broker, and of nobody else.
    """

    extractor: str
    builder: str
    release: str
    dashboards: str
    broker: str
    lake_readers: str


@dataclass(frozen=True)
class Role:
    """What a person's account stands for, and of which hospitals."""

    code: str
    hospitals: frozenset[str]


@dataclass(frozen=True)
class BrokerLimits:
    """How long an approval holds, and how many persons one account may ask for in 24 hours."""

    approval_hours: int = 24
    daily_persons: int = 50


ZONE_ACCOUNTS = tuple(field.name for field in fields(Accounts) if field.name != "lake_readers")


def account_name(uid: int) -> str:
    """Return the name of an account, or a text that no account has."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def group_name(gid: int) -> str:
    """Return the name of a group, or a text that no group has."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"#{gid}"


def own_account() -> str:
    """Return the name of the account this process acts as."""
    return account_name(os.geteuid())


def members(gid: int) -> set[str]:
    """Return the accounts of a group that this machine lists."""
    listed = set(grp.getgrgid(gid).gr_mem)
    return listed | {entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == gid}


def read_accounts(where: str, body: object) -> Accounts | None:
    """Return the accounts of a settings file; None where it names none.

    Args:
        where: the file, for refusals.
        body: its table ``[accounts]``.

    Raises:
        SettingsError: one is missing, unknown to this machine, root, or named twice.
    """
    if body is None:
        return None
    named = _table(f"[accounts] in {where}", body, (*ZONE_ACCOUNTS, "lake_readers"))
    for key in (*ZONE_ACCOUNTS, "lake_readers"):
        if not isinstance(named.get(key), str) or not _NAME.fullmatch(str(named[key])):
            raise SettingsError(f'[accounts] in {where} needs {key} = "a name".')
    accounts = Accounts(**{key: str(value) for key, value in named.items()})
    numbers: dict[int, str] = {}
    for key in ZONE_ACCOUNTS:
        name = getattr(accounts, key)
        try:
            number = pwd.getpwnam(name).pw_uid
        except KeyError:
            raise SettingsError(
                f"[accounts] in {where} names {name} as {key}, which this machine does not have: "
                "make the account or correct the name."
            ) from None
        if number == 0 or number in numbers:
            other = "root" if number == 0 else f"the account of {numbers[number]}"
            raise SettingsError(
                f"[accounts] in {where} names {name} as {key}, but that is {other}: every zone "
                "needs an account of its own, because permissions cannot part one from itself."
            )
        numbers[number] = key
    try:
        grp.getgrnam(accounts.lake_readers)
    except KeyError:
        raise SettingsError(
            f"[accounts] in {where} names the group {accounts.lake_readers}, which this machine "
            "does not have: make it, with builder, release and broker as its members."
        ) from None
    return accounts


def read_roles(where: str, body: object) -> dict[str, Role]:
    """Return the role of each person's account.

    Raises:
        SettingsError: a role or a hospital is not written as one.
    """
    roles = {}
    for account, value in _table(f"[roles] in {where}", body or {}, None).items():
        place = f"[roles.{account}] in {where}"
        role = _table(place, value, ("role", "hospitals"))
        hospitals = role.get("hospitals", [])
        if not _NAME.fullmatch(account) or role.get("role") not in ROLES:
            raise SettingsError(f"{place} needs an account's name and role = one of {ROLES}.")
        if not isinstance(hospitals, list) or not all(
            isinstance(code, str) and _HOSPITAL.fullmatch(code) for code in hospitals
        ):
            raise SettingsError(f'{place} needs hospitals = ["code", ...].')
        roles[account] = Role(str(role["role"]), frozenset(hospitals))
    return roles


def read_limits(where: str, body: object) -> BrokerLimits:
    """Return the limits of the broker.

    Raises:
        SettingsError: one is no whole number from 1 to 999.
    """
    given = _table(f"[broker] in {where}", body or {}, ("approval_hours", "daily_persons"))
    most = 999
    for key, value in given.items():
        if type(value) is not int or not 1 <= value <= most:
            raise SettingsError(f"[broker] in {where}: {key} must be from 1 to {most}.")
    return BrokerLimits(**{key: int(str(value)) for key, value in given.items()})


def _table(where: str, body: object, known: tuple[str, ...] | None) -> dict[str, object]:
    if not isinstance(body, dict):
        raise SettingsError(f"{where} must be a table of settings.")
    unknown = set(body) - set(known if known is not None else body)
    if unknown:
        raise SettingsError(f"{where} has unknown settings: {', '.join(sorted(unknown))}.")
    return body
