"""Decisions who is one person, and how well matching does: what ``scutari match`` calls."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from extract.identity.key_provider import load_provider
from extract.identity.keyring import Keyring
from extract.identity.matching.decisions import (
    Action,
    Decision,
    Registration,
    add_decision,
    in_force,
    in_order,
    read_decisions,
)
from extract.identity.opening import open_vault
from extract.identity.vault import CROSSWALK, version_to_go_on_from
from extract.identity.version import Version
from extract.zones import locked
from governance.audit.events import current_account
from governance.audit.log import audited
from governance.errors import MatchError
from governance.settings import Settings

_TOKEN = re.compile(r"[0-9a-f]{20}")
_COLUMNS = ("source_name", "registration_id", "registration_key", "person_key", "link_method_code")


def decide(settings: Settings, action: Action, tokens: tuple[str, str], reason: str) -> str:
    """Record that two registrations are one person (merge) or two (unmerge).

    Args:
        settings: the installation.
        action: ``merge`` or ``unmerge``.
        tokens: the registrations' tokens in the current snapshot.
        reason: a code of ``MATCH_REASONS``.

    Returns:
        What was recorded, as a line for the steward.

    Raises:
        AuditError: the audit log cannot be written.
        MatchError: a token names no registration that can be linked, or others contradict it.
        SnapshotError: a snapshot is being taken, or the vault is not as it was written.
    """
    with locked(settings):
        keyring, version = opened(settings)
        pair = in_order(*_registrations(version, tokens))
        if pair[0] == pair[1]:
            raise MatchError("Both tokens name the same registration: give two.")
        number = _record(settings, keyring, action, reason, pair=pair)
    return f"decision {number} ({action}) is recorded and takes effect in the next snapshot"


def undo(settings: Settings, number: int, reason: str) -> str:
    """Record that a decision no longer stands.

    Raises:
        AuditError: the audit log cannot be written.
        MatchError: the decision is not in force, or what it replaced contradicts others.
        SnapshotError: a snapshot is being taken, or the vault is not as it was written.
    """
    with locked(settings):
        keyring, _ = opened(settings)
        own = _record(settings, keyring, "undo", reason, undoes=number)
    return f"decision {own} takes back decision {number} from the next snapshot on"


def list_decisions(settings: Settings) -> list[str]:
    """Return a line for each decision, oldest first, by the current tokens.

    Raises:
        MatchError: there is no snapshot yet.
        SnapshotError: a snapshot is being taken, or the vault is not as it was written.
    """
    with locked(settings):
        keyring, version = opened(settings)
        decisions = read_decisions(settings.vault, keyring)
        wanted = {registration for d in decisions for registration in d.pair or ()}
        tokens = _tokens(version, wanted) if wanted else {}
    standing = {decision.number for decision in in_force(decisions)}
    return [_line(decision, tokens, standing) for decision in decisions]


def opened(settings: Settings) -> tuple[Keyring, Version]:
    """Open the vault's version in force; the caller holds the vault.

    Raises:
        MatchError: there is none yet.
    """
    keyring = open_vault(settings.vault, load_provider(settings))
    version = version_to_go_on_from(settings, keyring)
    if version is None:
        raise MatchError(
            f"There is no snapshot in {settings.lake} yet, so nobody was matched: take one with "
            "`scutari snapshot`."
        )
    return keyring, version


def crosswalk(version: Version) -> pa.Table:
    """Return who is who: source, id there, token, person, method."""
    return pa.Table.from_batches(version.batches(CROSSWALK, _COLUMNS))


def _record(
    settings: Settings,
    keyring: Keyring,
    action: Action,
    reason: str,
    *,
    pair: tuple[Registration, Registration] | None = None,
    undoes: int | None = None,
) -> int:
    number = len(read_decisions(settings.vault, keyring)) + 1
    decision = Decision(
        number=number,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        account=current_account(),
        action=action,
        reason=reason,
        pair=pair,
        undoes=undoes,
    )
    with audited(settings, "match_decision", action=action, reason=reason, number=number):
        add_decision(settings.vault, keyring, decision)
    return number


def _registrations(version: Version, tokens: Sequence[str]) -> list[Registration]:
    for token in tokens:
        if not _TOKEN.fullmatch(token):
            raise MatchError(
                "A token has 20 hexadecimal digits: take it from the review list or a worklist of "
                "the current snapshot."
            )
    found: dict[str, Registration] = {}
    for batch in version.batches(CROSSWALK, _COLUMNS):
        is_asked = pc.is_in(batch.column("registration_key"), pa.array(tokens))
        for row in batch.filter(is_asked).to_pylist():
            if row["link_method_code"] == "unlinkable":
                raise MatchError(
                    f"The registration {row['registration_key']} is of an unidentified patient: "
                    "identify the patient at the hospital first."
                )
            found[row["registration_key"]] = (row["source_name"], row["registration_id"])
    for token in tokens:
        if token not in found:
            raise MatchError(
                f"No registration of the current snapshot has the token {token}: registrations are "
                "merged, not persons or visits, and a rotation of tokens changes them all."
            )
    return [found[token] for token in tokens]


def _tokens(version: Version, wanted: set[Registration]) -> dict[Registration, str]:
    ids = pa.array(sorted({name for _, name in wanted}))
    found = {}
    for batch in version.batches(CROSSWALK, _COLUMNS):
        for row in batch.filter(pc.is_in(batch.column("registration_id"), ids)).to_pylist():
            found[row["source_name"], row["registration_id"]] = row["registration_key"]
    return {registration: found[registration] for registration in wanted if registration in found}


def _line(decision: Decision, tokens: dict[Registration, str], standing: set[int]) -> str:
    if decision.pair is None:
        what = f"takes back {decision.undoes}"
    else:
        state = "in force" if decision.number in standing else "no longer in force"
        names = " ".join(tokens.get(registration, "(gone)") for registration in decision.pair)
        what = f"{names}  {state}"
    return (
        f"{decision.number}  {decision.at}  {decision.account}  {decision.action}  "
        f"{decision.reason}  {what}"
    )
