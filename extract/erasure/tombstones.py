"""Tombstones: who must not come back, said without saying who it was.

``tombstones/log.jsonl`` has one line for each erasure: when, why, and *marks*, which are tokens
under a key of their own (``vault/tombstone.key``) that no rotation changes. A mark of a source's
record id lets the extractor drop the row while reading; a mark of a token lets a restored snapshot
be recognised. Each line holds the digest of the line before and is signed. Every snapshot names the
line up to which erasures are applied to it: one that names an earlier line, or none, is not used.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from extract.identity.tokens import Tokeniser, derive_key
from extract.values import Mask
from governance.errors import ErasureError, KeyFileError
from governance.files import sync, write_whole
from governance.key_files import KEY_BYTES, read_key, write_key
from governance.settings import Settings

LOG = "log.jsonl"
PENDING = "pending"
KEY_FILE = "tombstone.key"
# Quarantine has no manifest: this file in a snapshot's directory says which line it is true to.
STAMP = ".tombstones"
PERSON_DOMAIN = "identity.person"
AGAIN = "run `scutari erase --again`, which applies every tombstone to what is there"

Marks = dict[str, list[str]]


@dataclass(frozen=True)
class Tombstone:
    """One erasure.

    Attributes:
        number: counts from 1.
        at: when, UTC.
        reason: a code of ``governance.audit.events.ERASURE_REASONS``.
        registrations: how many registrations the person had.
        source_marks: marks of the registrations' ids in the source, by key domain.
        token_marks: marks of tokens: of the registrations, of the person id, and of all of their
            records, by key domain.
    """

    number: int
    at: str
    reason: str
    registrations: int
    source_marks: Marks
    token_marks: Marks


class Marker:
    """Makes marks; whoever holds its key can test a record number, so only the vault has it."""

    def __init__(self, key: bytes) -> None:
        self._tokeniser = Tokeniser(derive_key(key, "tombstone mark"), 0)

    def of_sources(self, values: pa.Array, domain: str) -> pa.Array:
        """Return the marks of record ids as the source has them."""
        return self._tokeniser.tokenise(values, f"source {domain}")

    def of_tokens(self, tokens: pa.Array, domain: str) -> pa.Array:
        """Return the marks of tokens, whatever their epoch.

        Of their last 60 bits, which fit one block: a night makes them by the million, and the
        chance that one of 10^8 tokens bears a mark of 10^3 others is 10^-7.
        """
        return self._tokeniser.tokenise(pc.utf8_slice_codeunits(tokens, 5), f"token {domain}")


@dataclass(frozen=True)
class Tombstones:
    """All erasures of an installation, open."""

    records: tuple[Tombstone, ...]
    heads: tuple[str, ...]
    marker: Marker

    @property
    def head(self) -> str:
        """The digest of the last line; empty before the first erasure."""
        return self.heads[-1] if self.heads else ""

    @cached_property
    def source_marks(self) -> dict[str, pa.Array]:
        """Marks of source ids by key domain."""
        return _united(record.source_marks for record in self.records)

    @cached_property
    def token_marks(self) -> dict[str, pa.Array]:
        """Marks of tokens by key domain."""
        return _united(record.token_marks for record in self.records)

    def names_source(self, domain: str, values: pa.Array) -> Mask:
        """Return which of a source's record ids are erased registrations."""
        marks = self.source_marks.get(domain)
        if marks is None:
            return np.zeros(len(values), dtype=np.bool_)
        return is_in(self.marker.of_sources(values, domain), marks)

    def names_token(self, domain: str, tokens: pa.Array) -> Mask:
        """Return which tokens stand under a tombstone."""
        marks = self.token_marks.get(domain)
        if marks is None:
            return np.zeros(len(tokens), dtype=np.bool_)
        return is_in(self.marker.of_tokens(tokens, domain), marks)


def under_tombstones(settings: Settings, tokens: Sequence[str]) -> list[str]:
    """Return which tokens, of whatever key domain, stand under a tombstone.

    Raises:
        ErasureError: a line is not as it was written.
        KeyFileError: the key is missing or open to others.
    """
    known, values = read_tombstones(settings), pa.array(tokens, pa.string())
    if known is None:
        return []
    gone = np.zeros(len(values), dtype=np.bool_)
    for domain in known.token_marks:
        gone |= known.names_token(domain, values)
    named: list[str] = values.filter(pa.array(gone)).to_pylist()
    return named


def is_in(values: pa.Array, known: pa.Array) -> Mask:
    """Return which values are among the known ones; a null never is."""
    found: Mask = pc.is_in(values, value_set=known, skip_nulls=True).to_numpy(zero_copy_only=False)
    return found


def read_tombstones(settings: Settings) -> Tombstones | None:
    """Open the tombstones with the vault's key; None before the first erasure.

    Raises:
        ErasureError: a line is not as it was written.
        KeyFileError: the key is missing or open to others.
    """
    lines = _lines(settings)
    if not lines:
        return None
    key = read_key(settings.vault / KEY_FILE, "tombstone key")
    if key is None:
        raise KeyFileError(
            f"The tombstone key {settings.vault / KEY_FILE} is missing, though persons were "
            "erased: restore it from the vault's backup; without it they would come back."
        )
    records, previous = [], ""
    for number, line in enumerate(lines, 1):
        body = _body(settings, line)
        signature = str(body.pop("signature", ""))
        is_whole = hmac.compare_digest(signature, _signature(key, body))
        if not is_whole or body.pop("previous") != previous or body["number"] != number:
            raise _spoiled(settings)
        records.append(Tombstone(**body))
        previous = _digest(line)
    return Tombstones(tuple(records), tuple(_digest(line) for line in lines), Marker(key))


def marker_of(settings: Settings) -> Marker:
    """Return what makes marks; its key is made before the first erasure."""
    path = settings.vault / KEY_FILE
    key = read_key(path, "tombstone key")
    if key is None:
        if _lines(settings):
            read_tombstones(settings)  # says that the key is missing
        key = os.urandom(KEY_BYTES)
        write_key(path, key)
    return Marker(key)


def append_tombstone(
    settings: Settings, reason: str, registrations: int, source_marks: Marks, token_marks: Marks
) -> Tombstone:
    """Write one erasure down; what stands there before stays as it is, byte for byte."""
    known = read_tombstones(settings)
    key = read_key(settings.vault / KEY_FILE, "tombstone key") or b""
    record = Tombstone(
        number=len(known.records) + 1 if known else 1,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        reason=reason,
        registrations=registrations,
        source_marks=source_marks,
        token_marks=token_marks,
    )
    body = asdict(record) | {"previous": known.head if known else ""}
    body["signature"] = _signature(key, body)
    lines = [*_lines(settings), json.dumps(body, sort_keys=True)]
    folder(settings).mkdir(mode=0o755, exist_ok=True)
    write_whole(folder(settings) / LOG, ("\n".join(lines) + "\n").encode(), 0o644)
    return record


def folder(settings: Settings) -> Path:
    """Return where the tombstones lie: outside every zone that a restore brings back."""
    return settings.tombstones


def begin(settings: Settings) -> None:
    """Note that an erasure is under way: nothing else works until it is done."""
    folder(settings).mkdir(mode=0o755, exist_ok=True)
    write_whole(folder(settings) / PENDING, b"", 0o644)


def end(settings: Settings) -> None:
    """Note that it is done."""
    (folder(settings) / PENDING).unlink(missing_ok=True)
    sync(folder(settings))


def heads(settings: Settings) -> tuple[str, ...]:
    """Return the digest of every line, without the key: who builds has no business in the vault.

    Raises:
        ErasureError: the log is not a chain.
    """
    lines, previous = _lines(settings), ""
    for line in lines:
        if _body(settings, line).get("previous") != previous:
            raise _spoiled(settings)
        previous = _digest(line)
    return tuple(_digest(line) for line in lines)


def require_applied(settings: Settings, applied: Mapping[str, str]) -> None:
    """Make sure that every erasure is applied to what is about to be read.

    Args:
        settings: the installation.
        applied: what it is, in words, and the tombstone that it names.

    Raises:
        ErasureError: it is not, or the tombstones are older than what is there.
    """
    if (folder(settings) / PENDING).exists():
        raise ErasureError(f"An erasure in {settings.home} was cut off: {AGAIN}.")
    known = ("", *heads(settings))
    for what, head in applied.items():
        if head not in known:
            raise ErasureError(
                f"{what} knows of an erasure that {folder(settings) / LOG} does not: put the "
                f"newest copy of {folder(settings)} in place (each backup has one), then {AGAIN}."
            )
        if head != known[-1]:
            raise ErasureError(
                f"{what} is from before {len(known) - 1 - known.index(head):,} erasures, and "
                f"persons would come back: {AGAIN}."
            )


def _lines(settings: Settings) -> list[str]:
    try:
        text = (folder(settings) / LOG).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise _spoiled(settings) from None
    if not text.endswith("\n"):
        raise _spoiled(settings)
    return text.splitlines()


def _body(settings: Settings, line: str) -> dict[str, Any]:
    try:
        body: dict[str, Any] = json.loads(line)
        if isinstance(body, dict):
            return body
    except ValueError:
        pass
    raise _spoiled(settings)


def _digest(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


def _signature(key: bytes, body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True)
    return hmac.digest(derive_key(key, "tombstone log"), text.encode(), "sha256").hex()


def _spoiled(settings: Settings) -> ErasureError:
    return ErasureError(
        f"{folder(settings) / LOG} is not as it was written: restore the newest copy from the "
        "backup."
    )


def _united(marks: Iterable[Marks]) -> dict[str, pa.Array]:
    united: dict[str, set[str]] = {}
    for one in marks:
        for domain, values in one.items():
            united.setdefault(domain, set()).update(values)
    return {domain: pa.array(sorted(values), pa.string()) for domain, values in united.items()}


def is_token(text: str) -> bool:
    """Whether a text has the shape of a token or of a person id."""
    return re.fullmatch(r"[0-9a-f]{20}", text) is not None
