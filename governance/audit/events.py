"""What the audit log may say: every event, its parameters, and what each of them may hold.

The log is read by others than those who may read the data, and its heads leave the machine. So
nothing gets into it that could carry a name, a record number or a sentence: a parameter is a code
from a list, a number too small or too round to be a record number, a digest, a token, or something
this installation already knows (a hospital with a zone of its own, an account of the machine).

An event or a code is never taken away: old entries must stay readable.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from governance.accounts import ROLES
from governance.errors import AuditError
from governance.settings import Settings

Value = bool | int | str
Outcome = Literal["noted", "begun", "done", "refused", "failed", "stopped"]

OPENED = "log_opened"
RECOVERED = "log_recovered"
PUBLIC_KEY = "public_key"

# Why an identity may be asked for, and what for; the purposes are codes of HL7's PurposeOfUse.
REASONS = ("consent_withdrawn", "court_order", "data_error", "patient_safety", "recontact_agreed")
ERASURE_REASONS = ("consent_withdrawn", "court_order", "data_error", "erasure_request")
MATCH_REASONS = (
    "same_person_confirmed",
    "different_persons_confirmed",
    "registration_error",
    "record_mix_up",
    "patient_request",
    "decided_in_error",
)
PURPOSES = ("ETREAT", "HLEGAL", "HOPERAT", "HRESCH", "HSYSADMIN", "PATRQT", "PUBHLTH", "TREAT")

# Why the honest broker does not answer.
REFUSALS = (
    "clock",
    "daily_cap",
    "expired",
    "hospital",
    "not_approved",
    "owner",
    "role",
    "tokens",
    "unreadable",
    "used",
)

MOST_COUNTED = 9_999
MOST_ROWS = 10**13
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
_SNAPSHOT = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_HOSPITAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SIGNIFICANT = 100


@dataclass(frozen=True)
class Kind:
    """What one parameter may hold, in words and as a check."""

    expected: str
    accepts: Callable[[object, Settings], bool]


@dataclass(frozen=True)
class Event:
    """One event: the parameters it may have, and those it cannot do without."""

    parameters: Mapping[str, Kind]
    required: tuple[str, ...] = ()


def one_of(*codes: str) -> Kind:
    """Return the kind of a code from a list."""
    return Kind(
        f"one of {', '.join(codes)}", lambda value, _: type(value) is str and value in codes
    )


def _matching(expected: str, pattern: str) -> Kind:
    compiled = re.compile(pattern)
    return Kind(
        expected,
        lambda value, _: type(value) is str and compiled.fullmatch(value) is not None,
    )


def _is_snapshot(value: object, _settings: Settings) -> bool:
    if type(value) is not str or not _SNAPSHOT.fullmatch(value):
        return False
    try:
        datetime.strptime(value, "%Y%m%dT%H%M%SZ")
    except ValueError:
        return False
    return True


def _is_hospital(value: object, settings: Settings) -> bool:
    # By its shape alone a code could be anybody's name.
    if type(value) is not str or not _HOSPITAL.fullmatch(value):
        return False
    # The broker's account cannot look into the operational zone.
    if any(value in role.hospitals for role in settings.roles.values()):
        return True
    return (settings.operational / value).is_dir()


def _is_account(value: object, _settings: Settings) -> bool:
    if type(value) is not str or not _ACCOUNT.fullmatch(value):
        return False
    try:
        pwd.getpwnam(value)
    except KeyError:
        return False
    return True


def _is_count(value: object, _settings: Settings) -> bool:
    return type(value) is int and 0 <= value <= MOST_COUNTED


def _is_rows(value: object, _settings: Settings) -> bool:
    return type(value) is int and 0 <= value <= MOST_ROWS and value == about(value)


FLAG = Kind("true or false", lambda value, _: type(value) is bool)
COUNT = Kind(f"a whole number from 0 to {MOST_COUNTED}", _is_count)
ROWS = Kind("a number of rows with two significant digits", _is_rows)
SNAPSHOT_ID = Kind("a snapshot id", _is_snapshot)
HOSPITAL = Kind("the code of a hospital that has a zone here", _is_hospital)
ACCOUNT = Kind("an account of this machine", _is_account)
TOKEN = _matching("a token of 20 hexadecimal digits", r"[0-9a-f]{20}")
DIGEST = _matching("64 hexadecimal digits", r"[0-9a-f]{64}")

EVENTS: Mapping[str, Event] = {
    OPENED: Event({PUBLIC_KEY: DIGEST}, required=(PUBLIC_KEY,)),
    RECOVERED: Event({"cut_bytes": COUNT}, required=("cut_bytes",)),
    "snapshot": Event(
        {
            "is_full": FLAG,
            "snapshot_id": SNAPSHOT_ID,
            "tables": COUNT,
            "rows": ROWS,
            "manifest_sha256": DIGEST,
        }
    ),
    "build": Event(
        {
            "target": one_of("duckdb", "encrypted", "spark", "other"),
            "is_partial": FLAG,
            "snapshot_id": SNAPSHOT_ID,
            "models": COUNT,
            "tests": COUNT,
        }
    ),
    "hand_over": Event({"hospitals": COUNT, "rows": ROWS}),
    "publish": Event(
        {
            "snapshot_id": SNAPSHOT_ID,
            "is_history_lost": FLAG,
            "hospitals": COUNT,
            "network_sha256": DIGEST,
        }
    ),
    "release": Event(
        {
            "profile": one_of("open", "safe_harbor_fields", "limited", "other"),
            "snapshot_id": SNAPSHOT_ID,
            "tables": COUNT,
            "rows": ROWS,
            "manifest_sha256": DIGEST,
        }
    ),
    # Nothing here names a person: a token would outlive them.
    "erase": Event(
        {
            "reason": one_of(*ERASURE_REASONS),
            "is_again": FLAG,
            "erasures": COUNT,
            "registrations": COUNT,
            "snapshots": COUNT,
            "rows": ROWS,
        },
        required=("is_again",),
    ),
    "retain": Event(
        {
            "snapshots": COUNT,
            "quarantines": COUNT,
            "token_maps": COUNT,
            "reviews": COUNT,
            "amended": COUNT,
            "rows": ROWS,
        }
    ),
    # Its registrations stand in the vault's own record, under the same number.
    "match_decision": Event(
        {
            "action": one_of("merge", "unmerge", "undo"),
            "reason": one_of(*MATCH_REASONS),
            "number": COUNT,
        },
        required=("action", "reason", "number"),
    ),
    "release_closed": Event(
        {
            "reason": one_of("destroyed", "never_sent", "returned", "synthetic"),
            "manifest_sha256": DIGEST,
        },
        required=("reason", "manifest_sha256"),
    ),
    "rotate_key": Event({}),
    "rotate_tokens": Event({}),
    # What the honest broker writes before it answers.
    "identity_lookup": Event(
        {
            "requester": ACCOUNT,
            "approver": ACCOUNT,
            "role": one_of(*ROLES),
            "reason": one_of(*REASONS),
            "purpose": one_of(*PURPOSES),
            "token": TOKEN,
            "hospital": HOSPITAL,
            "snapshot_id": SNAPSHOT_ID,
            "persons": COUNT,
            "request_sha256": DIGEST,
            "refusal": one_of(*REFUSALS),
        },
        required=("requester", "approver", "role", "reason", "purpose"),
    ),
}


def about(rows: int) -> int:
    """Return a number of rows cut to two significant digits.

    A round number cannot carry a record number, and two of them do not tell by their difference how
    many registrations a night brought.
    """
    unit = 1
    while rows // unit >= _SIGNIFICANT:
        unit *= 10
    return rows // unit * unit


def checked(
    settings: Settings, event: str, outcome: str, given: Mapping[str, object]
) -> dict[str, Value]:
    """Return the parameters of an entry, sorted by name; None is left out.

    Args:
        settings: the installation.
        event: an event of ``EVENTS``.
        outcome: an end may lack what the beginning had to say.
        given: the parameters.

    Raises:
        AuditError: the event or a parameter is not declared, or holds what it may not. What was
            given is never repeated: it may be the very value that must not get out.
    """
    declared = EVENTS.get(event)
    if declared is None:
        raise AuditError(
            "The audit log was given an event it does not know; declare it in "
            "governance/audit/events.py."
        )
    values = {name: value for name, value in given.items() if value is not None}
    if set(values) - set(declared.parameters):
        raise AuditError(
            f"The audit log was given a parameter that {event} does not have; it has: "
            f"{', '.join(declared.parameters)} (governance/audit/events.py)."
        )
    missing = [name for name in declared.required if name not in values]
    if missing and outcome in ("noted", "begun"):
        raise AuditError(f"The audit log needs {', '.join(missing)} of {event}: give it.")
    result: dict[str, Value] = {}
    for name in sorted(values):
        value, kind = values[name], declared.parameters[name]
        if not isinstance(value, bool | int | str) or not kind.accepts(value, settings):
            raise AuditError(
                f"The audit log takes as {name} of {event} only {kind.expected}: what was given "
                "is something else and was not written."
            )
        result[name] = value
    return result


def current_account() -> str:
    """Return the operating system's account this process acts as."""
    number = os.geteuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = ""
    return name if _ACCOUNT.fullmatch(name) else f"uid-{number}"


def folder_of(settings: Settings, account: str) -> Path:
    """Return where an account's log lies."""
    return settings.audit / account
