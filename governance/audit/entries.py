"""One line of the audit log, one signed head, and the only form in which each is written.

A line that is not byte for byte what this module would write is no entry: there is no second way
to write the same thing, so a changed byte is always seen.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from governance.audit.events import OPENED, PUBLIC_KEY, Value

NOTHING_BEFORE = "0" * 64
INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"
_AT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_HASH = re.compile(r"[0-9a-f]{64}")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")
_HEAD_MARK = "scutari-audit-head-1"
_HEAD_WORDS = 7


@dataclass(frozen=True)
class Head:
    """How far a log had come: what can be sent off the machine and held against it later."""

    account: str
    sequence: int
    at: str
    hash: str
    public_key: str
    signature: str

    def __str__(self) -> str:
        words = (_HEAD_MARK, self.account, self.sequence, self.at, self.hash, self.public_key)
        return " ".join(map(str, (*words, self.signature)))

    def is_signed(self) -> bool:
        """Say whether the signature is that of the head's own key."""
        return is_signed(self.public_key, self.signature, self.account, self)


@dataclass(frozen=True)
class Entry:
    """One entry.

    Attributes:
        sequence: 1 for the first entry of a log, without gaps.
        before: the hash of the entry before; zeros for the first.
        at: UTC instant with microseconds.
        actor: the account that wrote it.
        event: a code of ``EVENTS``.
        outcome: ``begun`` before an action; ``done``, ``failed`` or ``stopped`` (by a signal) after
            it, or ``refused`` by whoever decides; ``noted`` of what has no duration.
        begun: of an end, the sequence number of its beginning.
        parameters: what the event says, sorted by name.
        hash: SHA-256 of all of the above.
        signature: Ed25519, over account, sequence, instant and hash.
    """

    sequence: int
    before: str
    at: str
    actor: str
    event: str
    outcome: str
    begun: int | None
    parameters: dict[str, Value]
    hash: str = ""
    signature: str = ""

    def line(self) -> bytes:
        """Return the entry as it stands in the file, without the end of the line."""
        return _written({**self._body(), "hash": self.hash, "signature": self.signature})

    def digest(self) -> str:
        """Return the hash that belongs to what the entry says."""
        return hashlib.sha256(_written(self._body())).hexdigest()

    def head(self, public_key: str) -> Head:
        """Return the head of a log that ends with this entry."""
        return Head(self.actor, self.sequence, self.at, self.hash, public_key, self.signature)

    def opened_key(self) -> str | None:
        """Return the public key that a log's first entry names."""
        key = self.parameters.get(PUBLIC_KEY)
        return key if self.event == OPENED and isinstance(key, str) else None

    def _body(self) -> dict[str, Any]:
        return {
            "sequence": self.sequence,
            "before": self.before,
            "at": self.at,
            "actor": self.actor,
            "event": self.event,
            "outcome": self.outcome,
            "begun": self.begun,
            "parameters": self.parameters,
        }


def sealed(entry: Entry, key: Ed25519PrivateKey) -> Entry:
    """Return an entry with its hash and signature."""
    digest = entry.digest()
    signature = key.sign(_signed_text(entry.actor, entry.sequence, entry.at, digest)).hex()
    values = {name: getattr(entry, name) for name in entry.__dataclass_fields__}
    return Entry(**(values | {"hash": digest, "signature": signature}))


def is_signed(public_key: str, signature: str, account: str, what: Entry | Head) -> bool:
    """Say whether a signature is that of a key, given in hexadecimal, over an entry or head."""
    if not _HASH.fullmatch(public_key) or not _SIGNATURE.fullmatch(signature):
        return False
    text = _signed_text(account, what.sequence, what.at, what.hash)
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(
            bytes.fromhex(signature), text
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def parse_entry(line: bytes) -> Entry | None:
    """Return the entry of a line whose hash fits, or None where the line is no whole entry."""
    try:
        raw = json.loads(line.decode("ascii"))
        entry = Entry(**raw)
        is_whole = _is_typed(entry) and entry.line() == line and entry.digest() == entry.hash
    except (ValueError, TypeError, RecursionError):
        return None
    return entry if is_whole else None


def parse_head(text: str) -> Head | None:
    """Return the head of a line of text, or None where it is none."""
    words = text.split(" ")
    if len(words) != _HEAD_WORDS or words[0] != _HEAD_MARK or not words[2].isascii():
        return None
    try:
        head = Head(words[1], int(words[2]), *words[3:])
    except ValueError:
        return None
    return head if str(head) == text else None


def is_torn(rest: bytes, last: Entry) -> bool:
    """Say whether what follows the last whole line can be the beginning of the next entry.

    A file system may leave zeros after a power cut where the bytes had not arrived.
    """
    rest = rest.rstrip(b"\0")
    start = f'{{"sequence":{last.sequence + 1},"before":"{last.hash}","at":"'.encode()
    return start.startswith(rest[: len(start)]) and rest.isascii() and b"\0" not in rest


def _is_typed(entry: Entry) -> bool:
    texts = (entry.actor, entry.event, entry.outcome)
    return (
        type(entry.sequence) is int
        and (entry.begun is None or type(entry.begun) is int)
        and all(type(text) is str for text in texts)
        and _AT.fullmatch(entry.at) is not None
        and _HASH.fullmatch(entry.before) is not None
        and _SIGNATURE.fullmatch(entry.signature) is not None
        and type(entry.parameters) is dict
        and all(type(value) in (bool, int, str) for value in entry.parameters.values())
    )


def _signed_text(account: str, sequence: int, at: str, digest: str) -> bytes:
    return f"{_HEAD_MARK} {account} {sequence} {at} {digest}".encode()


def _written(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=True).encode("ascii")
