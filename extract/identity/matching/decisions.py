"""A steward's decisions who is one person: recorded for good, applied every night, reversible.

``vault/decisions.jsonl`` holds one encrypted line for each decision. A line is bound to the one
before it, and a signed last line says how many there are: a decision cannot be changed, moved or
cut off. They name registrations as the source does and no token, so that they outlive a change of
token keys. The newest decision on a pair counts; one that contradicts others is refused.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from extract.identity.keyring import Keyring
from governance.errors import MatchError, VaultError
from governance.files import write_whole

DECISIONS = "decisions.jsonl"
Action = Literal["merge", "unmerge", "undo"]
Registration = tuple[str, str]

_SALT_BYTES, _NONCE_BYTES = 16, 12


@dataclass(frozen=True)
class Decision:
    """One decision.

    Attributes:
        number: its place among all decisions, from 1.
        at: when, ISO 8601, UTC.
        account: who, as the operating system knows the account.
        pair: the two registrations (source, id there) of a merge or an unmerge.
        undoes: the number of the decision that an undo takes back.
    """

    number: int
    at: str
    account: str
    action: Action
    reason: str
    pair: tuple[Registration, Registration] | None = None
    undoes: int | None = None


@dataclass(frozen=True)
class Standing:
    """The pairs on which a decision is in force."""

    joined: Sequence[tuple[Registration, Registration]] = ()
    parted: Sequence[tuple[Registration, Registration]] = ()


def standing(decisions: Iterable[Decision]) -> Standing:
    """Return what is in force: of each pair the newest decision that was not taken back."""
    by_pair: dict[tuple[Registration, Registration], Action] = {}
    for decision in in_force(decisions):
        if decision.pair is not None:
            by_pair[decision.pair] = decision.action
    return Standing(
        joined=sorted(pair for pair, action in by_pair.items() if action == "merge"),
        parted=sorted(pair for pair, action in by_pair.items() if action == "unmerge"),
    )


def in_force(decisions: Iterable[Decision]) -> list[Decision]:
    """Return the merges and unmerges that were neither taken back nor replaced by a newer one."""
    all_of_them = list(decisions)
    undone = {decision.undoes for decision in all_of_them if decision.action == "undo"}
    newest = {
        decision.pair: decision
        for decision in all_of_them
        if decision.pair is not None and decision.number not in undone
    }
    return sorted(newest.values(), key=lambda decision: decision.number)


def in_order(one: Registration, other: Registration) -> tuple[Registration, Registration]:
    """Return a pair in the one order that is kept."""
    return (one, other) if one < other else (other, one)


def refuse_contradiction(decisions: Sequence[Decision], new: Decision) -> None:
    """Make sure that a decision and those in force can all hold.

    Raises:
        MatchError: they cannot, or the undo names nothing that is in force.
    """
    if new.action == "undo":
        if new.undoes not in {decision.number for decision in in_force(decisions)}:
            raise MatchError(
                f"There is no decision {new.undoes} in force to take back: `scutari match list` "
                "shows those that are."
            )
        # What an older decision on the same pair said is in force again.
        _refuse_impossible([*decisions, new])
        return
    _refuse_impossible([*decisions, new])


def _refuse_impossible(decisions: Sequence[Decision]) -> None:
    rules = standing(decisions)
    groups: dict[Registration, set[Registration]] = {}
    for one, other in rules.joined:
        group = groups.get(one, {one}) | groups.get(other, {other})
        groups.update(dict.fromkeys(group, group))
    for one, other in rules.parted:
        if other in groups.get(one, ()):
            group = groups[one]
            numbers = [
                str(d.number)
                for d in in_force(decisions)
                if d.pair is not None and (set(d.pair) <= group)
            ]
            raise MatchError(
                "These decisions cannot all hold: some say that the registrations are one person, "
                f"one says that two of them are not (numbers {', '.join(numbers)}; the highest may "
                "be the one you asked for). Take one of the others back with `scutari match undo`."
            )


def read_decisions(vault: Path, keyring: Keyring) -> list[Decision]:
    """Return every decision in order.

    Raises:
        VaultError: the file is not as it was written.
    """
    path = vault / DECISIONS
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError):
        raise _refusal(path) from None
    try:
        *sealed, last = lines
        _check_end(json.loads(last), sealed, keyring)
        return [
            _opened(line, number, sealed[number - 2] if number > 1 else "", keyring)
            for number, line in enumerate(sealed, start=1)
        ]
    except (ValueError, KeyError, TypeError, AttributeError, InvalidTag):
        raise _refusal(path) from None


def add_decision(vault: Path, keyring: Keyring, decision: Decision) -> None:
    """Write one more decision, in one step; the caller holds the vault.

    Raises:
        MatchError: it contradicts others.
        VaultError: the file is not as it was written.
    """
    decisions = read_decisions(vault, keyring)
    refuse_contradiction(decisions, decision)
    path = vault / DECISIONS
    lines = path.read_text(encoding="utf-8").splitlines()[:-1] if path.exists() else []
    lines.append(_sealed(decision, lines[-1] if lines else "", keyring))
    body: dict[str, Any] = {
        "count": len(lines),
        "sha256": _digest("\n".join(lines)),
        "data_key_id": keyring.active,
    }
    body["signature"] = keyring.sign(keyring.active, body)
    text = "\n".join([*lines, json.dumps(body, sort_keys=True)]) + "\n"
    write_whole(path, text.encode(), 0o600)


def _sealed(decision: Decision, before: str, keyring: Keyring) -> str:
    salt, nonce = os.urandom(_SALT_BYTES).hex(), os.urandom(_NONCE_BYTES)
    key = keyring.file_key(keyring.active, salt)
    plain = json.dumps(asdict(decision), sort_keys=True).encode()
    text = AESGCM(key).encrypt(nonce, plain, _bound(decision.number, before))
    line = {"data_key_id": keyring.active, "salt": salt, "nonce": nonce.hex(), "text": text.hex()}
    return json.dumps(line, sort_keys=True)


def _opened(line: str, number: int, before: str, keyring: Keyring) -> Decision:
    body = json.loads(line)
    key = keyring.file_key(body["data_key_id"], body["salt"])
    nonce, text = bytes.fromhex(body["nonce"]), bytes.fromhex(body["text"])
    plain = json.loads(AESGCM(key).decrypt(nonce, text, _bound(number, before)))
    if plain["pair"] is not None:
        one, other = plain["pair"]
        plain["pair"] = in_order((one[0], one[1]), (other[0], other[1]))
    return Decision(**plain)


def _check_end(body: dict[str, Any], sealed: Sequence[str], keyring: Keyring) -> None:
    signature = str(body.pop("signature"))
    expected = keyring.sign(str(body["data_key_id"]), body)
    is_signed = hmac.compare_digest(signature.encode(), expected.encode())
    if (
        not is_signed
        or body["count"] != len(sealed)
        or body["sha256"] != _digest("\n".join(sealed))
    ):
        raise ValueError("the end does not fit")


def _bound(number: int, before: str) -> bytes:
    """Return what a line is bound to: its place and the line before it."""
    return f"scutari match decision 1|{number}|{_digest(before)}".encode()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _refusal(path: Path) -> VaultError:
    return VaultError(
        f"The record of decisions {path} is not as it was written, and persons would be joined or "
        "parted that should not be: restore it from the vault's backup."
    )
