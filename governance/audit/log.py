"""Writing the audit log: one line for each entry, on the disk before its writer goes on.

``audit/<account>/log.jsonl`` only ever grows. Each line holds the hash of the one before and a
signature; ``head`` beside it repeats how far the log has come, so that a line cut off its end is
missed. A writer looks at the end of the file before it adds to it, and adds nothing to a log that
is not as it was left. Reasons and limits are in ``docs/adr/0023-the-audit-log.md``.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from governance.audit.entries import (
    INSTANT,
    NOTHING_BEFORE,
    Entry,
    is_signed,
    is_torn,
    parse_entry,
    parse_head,
    sealed,
)
from governance.audit.events import (
    MOST_COUNTED,
    OPENED,
    PUBLIC_KEY,
    RECOVERED,
    Outcome,
    Value,
    checked,
    current_account,
    folder_of,
)
from governance.audit.keys import (
    KEY_FILE,
    public_key_of,
    read_key,
    write_key,
)
from governance.errors import AuditError, KeyFileError, ScutariError
from governance.files import sync, write_whole
from governance.locks import exclusive
from governance.settings import Settings

LOG_FILE = "log.jsonl"
HEAD_FILE = "head"
WAIT_SECONDS = 60.0
FOLDER_MODE = 0o750
FILE_MODE = 0o640
_TAIL_BYTES = 1 << 16
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OUTCOMES = ("noted", "begun", "done", "refused", "failed", "stopped")


@dataclass
class Action:
    """An action between its beginning and its end; what it found out goes into the end."""

    begun: Entry
    results: dict[str, object] = field(default_factory=dict)

    def add(self, **results: object) -> None:
        """Keep parameters for the entry that ends the action."""
        self.results.update(results)


@contextmanager
def audited(settings: Settings, event: str, **parameters: object) -> Iterator[Action]:
    """Write that an action begins before it does, and how it ended after it.

    An action that is killed leaves a beginning without an end. What kept an action from succeeding
    is raised as it is, also where its end could not be written.

    Args:
        settings: the installation.
        event: an event of ``EVENTS``.
        parameters: what is known beforehand.

    Raises:
        AuditError: the beginning could not be written, and nothing was done; or the action is
            done, and its end could not be written.
    """
    begun = append(settings, event, parameters, outcome="begun")
    action = Action(begun)
    try:
        yield action
    except BaseException as error:
        with suppress(ScutariError):
            append(settings, event, action.results, outcome=_outcome(error), begun=begun)
        raise
    try:
        append(settings, event, action.results, outcome="done", begun=begun)
    except ScutariError as error:
        raise AuditError(
            f"The {event} is done, but the audit log holds only that it began (entry "
            f"{begun.sequence}): {error}"
        ) from None


def append(
    settings: Settings,
    event: str,
    parameters: Mapping[str, object],
    *,
    outcome: Outcome = "noted",
    begun: Entry | None = None,
) -> Entry:
    """Write one entry and return it when it is on the disk.

    Args:
        settings: the installation.
        event: an event of ``EVENTS``.
        parameters: as ``EVENTS`` allows; None is left out.
        outcome: what became of it.
        begun: of an end, its beginning.

    Raises:
        AuditError: the event or a parameter is not allowed, the log is not as it was left, or it
            could not be written. The action must not go on.
        KeyFileError: the signing key is missing, open to others, or not the log's.
    """
    if outcome not in _OUTCOMES:
        raise AuditError(f"The audit log takes as outcome only: {', '.join(_OUTCOMES)}.")
    if event in (OPENED, RECOVERED):
        raise AuditError(f"The audit log writes {event} by itself: leave it out.")
    values = checked(settings, event, outcome, parameters)
    account = current_account()
    folder = folder_of(settings, account)
    with _explained(folder):
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        with held(folder):
            said = _Said(event, outcome, begun.sequence if begun else None, values)
            return _Writer(folder, account).add(said)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a log: nobody writes it meanwhile.

    Raises:
        AuditError: another process holds it all the time.
    """
    refusal = AuditError(
        f"The audit log {folder} was held by another process for {WAIT_SECONDS:.0f} s: end the "
        "process that hangs, and try again."
    )
    with exclusive(folder, refusal, wait_seconds=WAIT_SECONDS):
        yield


class _Said(NamedTuple):
    event: str
    outcome: Outcome
    begun: int | None
    parameters: dict[str, Value]


class _Writer:
    """One account's log while it is held."""

    def __init__(self, folder: Path, account: str) -> None:
        self.folder = folder
        self.account = account
        self.path = folder / LOG_FILE
        key = read_key(folder)
        if key is None:
            key = self._opened()
        self.key = key
        self.public_key = public_key_of(key)

    def add(self, said: _Said) -> Entry:
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:
            raise self._damaged("the file is missing") from None
        try:
            last, cut_bytes = self._end(handle)
            if cut_bytes:
                cut: dict[str, Value] = {"cut_bytes": min(cut_bytes, MOST_COUNTED)}
                last = self._put(handle, last, _Said(RECOVERED, "noted", None, cut))
            return self._put(handle, last, said)
        finally:
            os.close(handle)

    def _opened(self) -> Ed25519PrivateKey:
        """Begin a log. The key comes last: where there is one, there was a log."""
        size = self.path.stat().st_size if self.path.exists() else 0
        head = self._head_text()
        if size > _TAIL_BYTES or self._holds_entries(head):
            raise KeyFileError(
                f"The audit log's key {self.folder / KEY_FILE} is missing: restore it from the "
                "backup, or keep the directory elsewhere and let a new log begin."
            )
        key = Ed25519PrivateKey.generate()
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        self.public_key, self.key = public_key_of(key), key
        try:
            opened = _Said(OPENED, "noted", None, {PUBLIC_KEY: self.public_key})
            self._put(handle, None, opened)
        finally:
            os.close(handle)
        for made in (self.folder.parent, self.folder.parent.parent):
            sync(made)
        write_key(self.folder, key)
        return key

    def _holds_entries(self, head: str) -> bool:
        # A first run that was killed leaves no more than the entry that opens the log.
        lines = self.path.read_bytes().count(b"\n") if self.path.exists() else 0
        named = parse_head(head)
        return lines > 1 or (named is not None and named.sequence > 1)

    def _end(self, handle: int) -> tuple[Entry, int]:
        """Return the last whole entry, and how many bytes of a torn one were cut off after it."""
        size = os.fstat(handle).st_size
        start = max(0, size - _TAIL_BYTES)
        *lines, rest = os.pread(handle, size - start, start).split(b"\n")
        last = parse_entry(lines[-1]) if lines else None
        if last is None:
            raise self._damaged("its last line is no entry")
        whole = parse_entry(rest) if rest else None
        if whole is not None and whole.before == last.hash:
            _write(handle, b"\n")
            last, rest = whole, b""
        if last.actor != self.account or not is_signed(
            self.public_key, last.signature, self.account, last
        ):
            raise self._damaged(f"its last entry is not signed with {self.folder / KEY_FILE}")
        self._compare_head(last)
        if rest and not is_torn(rest, last):
            raise self._damaged("what follows its last entry is no part of one")
        if rest:
            os.ftruncate(handle, size - len(rest))
        return last, len(rest)

    def _compare_head(self, last: Entry) -> None:
        """Refuse a log that is shorter than its head; renew a head that a kill left one behind."""
        head = parse_head(self._head_text())
        if head is None or head.public_key != self.public_key or not head.is_signed():
            raise self._damaged(f"{self.folder / HEAD_FILE} is missing or no head")
        if (head.sequence, head.hash) == (last.sequence, last.hash):
            return
        if (head.sequence, head.hash) != (last.sequence - 1, last.before):
            raise self._damaged(
                f"it ends with entry {last.sequence}, but its head names entry {head.sequence}"
            )
        self._put_head(last)

    def _put(self, handle: int, last: Entry | None, said: _Said) -> Entry:
        entry = sealed(
            Entry(
                sequence=last.sequence + 1 if last else 1,
                before=last.hash if last else NOTHING_BEFORE,
                at=datetime.now(UTC).strftime(INSTANT),
                actor=self.account,
                **said._asdict(),
            ),
            self.key,
        )
        size = os.fstat(handle).st_size
        try:
            _write(handle, entry.line() + b"\n")
        except OSError:
            with suppress(OSError):
                os.ftruncate(handle, size)
            raise
        self._put_head(entry)
        return entry

    def _put_head(self, entry: Entry) -> None:
        text = f"{entry.head(self.public_key)}\n".encode()
        write_whole(self.folder / HEAD_FILE, text, FILE_MODE)

    def _head_text(self) -> str:
        return read_head_file(self.folder)

    def _damaged(self, why: str) -> AuditError:
        return AuditError(
            f"The audit log {self.path} is not as it was left ({why}), so nothing is added to it: "
            "run `scutari audit verify`, keep the directory as evidence, and restore it or move it "
            "away so that a new log begins."
        )


def read_head_file(folder: Path) -> str:
    """Return the line of a log's head file; empty where there is none."""
    try:
        text = (folder / HEAD_FILE).read_bytes().decode("ascii", errors="replace")
    except FileNotFoundError:
        return ""
    return text.removesuffix("\n") if text.endswith("\n") else ""


def _write(handle: int, line: bytes) -> None:
    while line:
        line = line[os.write(handle, line) :]
    os.fsync(handle)


def _outcome(error: BaseException) -> Outcome:
    return "failed" if isinstance(error, Exception) else "stopped"


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = "the disk is full" if error.errno in _FULL_DISK else error.strerror
        raise AuditError(
            f"The audit log {folder} could not be written ({what}): free space or correct the "
            "permissions and try again; nothing goes on without its entry."
        ) from None
