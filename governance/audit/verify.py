"""Reading the audit log: is it as it was written, and does it still hold what was sent off?

Damage is what no run, kill or power cut of Scutari leaves behind. What they do leave (an action
without an end, a torn last line, a clock that was set back) is told as a note.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from governance.audit.entries import (
    NOTHING_BEFORE,
    Entry,
    Head,
    is_signed,
    is_torn,
    parse_entry,
    parse_head,
)
from governance.audit.events import current_account, folder_of
from governance.audit.keys import KEY_FILE, public_key_of, read_key
from governance.audit.log import HEAD_FILE, LOG_FILE, held, read_head_file
from governance.errors import AuditError
from governance.settings import Settings

FAULTS_NAMED = 5
_ADVICE = "keep the directory as evidence and compare it with a backup"


@dataclass(frozen=True)
class AccountLog:
    """One account's log as it was read.

    Attributes:
        account: whose it is.
        entries: the sound entries, in the order of the file.
        faults: what no run of Scutari leaves behind.
        notes: what a reader should know and may have an innocent cause.
    """

    account: str
    entries: list[Entry] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    public_key: str = ""

    def head(self) -> Head:
        """Return the signed head of the last entry."""
        return self.entries[-1].head(self.public_key)

    def __str__(self) -> str:
        first, last = self.entries[0], self.entries[-1]
        return "\n".join(
            [
                f"audit log of {self.account}: {len(self.entries):,} entries from {first.at} to "
                f"{last.at}, unbroken and signed",
                *(f"  note: {note}" for note in self.notes),
            ]
        )


def verify_logs(settings: Settings, heads: Iterable[Head] = ()) -> list[AccountLog]:
    """Check every account's log, and that each still extends the heads sent off earlier.

    Args:
        settings: the installation.
        heads: earlier heads, of any of its accounts.

    Raises:
        AuditError: there is no log, one cannot be read, or one is not as it was written.
        KeyFileError: a signing key can be opened by others.
    """
    heads = list(heads)
    logs = read_logs(settings)
    for log in logs:
        log.faults.extend(_against_heads(log, heads))
    named = {head.account for head in heads} - {log.account for log in logs}
    faults = [f"{log.account}: {fault}" for log in logs for fault in log.faults]
    if named:
        faults.insert(0, f"{len(named)} of the accounts that heads name have no log here")
    if faults:
        more = f"; and {len(faults) - FAULTS_NAMED} more" if len(faults) > FAULTS_NAMED else ""
        raise AuditError(
            f"The audit log in {settings.audit} is not as it was written: "
            f"{'; '.join(faults[:FAULTS_NAMED])}{more}: {_ADVICE}."
        )
    return logs


def read_logs(settings: Settings) -> list[AccountLog]:
    """Return every account's log with what is wrong with it.

    Raises:
        AuditError: there is none, or one cannot be read.
    """
    folders = [path for path in sorted(_listed(settings.audit)) if path.is_dir()]
    if not folders:
        raise AuditError(
            f"There is no audit log in {settings.audit}: it begins with the first snapshot, build, "
            "publication or release; if there was one, restore it from the backup."
        )
    return [_read(folder) for folder in folders]


def read_own_log(settings: Settings) -> AccountLog:
    """Return this account's log with what is wrong with it.

    Raises:
        AuditError: it cannot be read.
    """
    return _read(folder_of(settings, current_account()))


def read_heads(path: Path) -> list[Head]:
    """Return the heads of a file, one on each line, as ``scutari audit head`` printed them.

    Raises:
        AuditError: the file cannot be read, holds none, or a line is no head or was changed.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="ascii").splitlines()]
    except (OSError, UnicodeDecodeError):
        raise AuditError(
            f"The head file {path} cannot be read: give a file with what `scutari audit head` "
            "printed."
        ) from None
    heads = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        head = parse_head(line)
        if head is None or not head.is_signed():
            raise AuditError(
                f"Line {number} of {path} is no head, or is not as it was signed: give what "
                "`scutari audit head` printed, unchanged."
            )
        heads.append(head)
    if not heads:
        raise AuditError(f"{path} holds no head: give what `scutari audit head` printed.")
    return heads


def show_lines(logs: Iterable[AccountLog], since: date | None) -> Iterator[str]:
    """Yield one line for each sound entry, account by account, in the order of writing."""
    for log in logs:
        for entry in log.entries:
            if since is not None and entry.at < since.isoformat():
                continue
            ends = f" (of {entry.begun})" if entry.begun is not None else ""
            said = "".join(f" {name}={_said(value)}" for name, value in entry.parameters.items())
            yield (
                f"{entry.sequence} {entry.at} {entry.actor} {entry.event} {entry.outcome}{ends}"
                f"{said}"
            )


def _said(value: bool | int | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(folder, error) from None


def _unreadable(folder: Path, error: OSError) -> AuditError:
    return AuditError(
        f"The audit log {folder} cannot be read ({error.strerror}): run this as its owner, or as "
        "an account of its group."
    )


def _read(folder: Path) -> AccountLog:
    try:
        with held(folder):
            path = folder / LOG_FILE
            content = path.read_bytes() if path.exists() else None
            head_text = read_head_file(folder)
    except OSError as error:
        raise _unreadable(folder, error) from None
    if content is None:
        return AccountLog(folder.name, faults=[f"{LOG_FILE} is missing"])
    *lines, rest = content.split(b"\n")
    first = parse_entry(lines[0]) if lines else None
    opened = first.opened_key() if first else None
    head = parse_head(head_text)
    log = AccountLog(folder.name, public_key=opened or (head.public_key if head else ""))
    log.faults.extend(_key_faults(folder, log))
    walk = _Walk(log)
    for number, line in enumerate(lines, 1):
        walk.step(number, line)
    if opened is None:
        log.faults.append("its first entry, which opens it, is missing or was changed")
    _look_at_rest(walk, rest, head)
    _look_at_head(log, head)
    log.notes.extend(_unended(log.entries))
    return log


def _key_faults(folder: Path, log: AccountLog) -> Iterator[str]:
    try:
        key = read_key(folder)
    except PermissionError:
        log.notes.append(
            "the signing key is another account's, so whether the log is signed with it was not "
            "looked at: a head sent off earlier tells"
        )
        return
    except OSError as error:
        raise _unreadable(folder, error) from None
    if key is None:
        yield f"the signing key {KEY_FILE} is missing"
    elif public_key_of(key) != log.public_key:
        yield f"it is signed with another key than {KEY_FILE}"


@dataclass
class _Walk:
    """The way through a log, line by line; after a fault it goes on from what it found."""

    log: AccountLog
    expected: int = 1
    before: str | None = NOTHING_BEFORE

    def step(self, number: int, line: bytes) -> None:
        entry = parse_entry(line)
        if entry is None:
            self.log.faults.append(f"line {number} was changed or is no entry")
            self.expected, self.before = self.expected + 1, None
            return
        self.log.faults.extend(self._faults(number, entry))
        if self.log.entries and entry.at < self.log.entries[-1].at:
            self.log.notes.append(
                f"entry {entry.sequence} is dated before the one it follows: the clock was set "
                "back, or was wrong before"
            )
        self.log.entries.append(entry)
        self.expected, self.before = entry.sequence + 1, entry.hash

    def _faults(self, number: int, entry: Entry) -> Iterator[str]:
        if entry.sequence > self.expected:
            yield f"entries {self.expected} to {entry.sequence - 1} are missing at line {number}"
        elif entry.sequence < self.expected:
            yield f"entry {entry.sequence} stands out of its place at line {number}"
        elif self.before is not None and entry.before != self.before:
            yield f"entry {entry.sequence} does not follow the one before it"
        if not is_signed(self.log.public_key, entry.signature, self.log.account, entry):
            yield f"entry {entry.sequence} is not signed with the log's key"
        if entry.actor != self.log.account:
            yield f"entry {entry.sequence} is another account's"
        if entry.begun is not None and entry.begun >= entry.sequence:
            yield f"entry {entry.sequence} ends what had not begun"


def _look_at_rest(walk: _Walk, rest: bytes, head: Head | None) -> None:
    log = walk.log
    if not rest:
        return
    last = log.entries[-1] if log.entries else None
    whole = parse_entry(rest)
    is_next = whole is not None and whole.before == walk.before
    if whole is not None and is_next and head is not None and head.sequence < whole.sequence:
        walk.step(walk.expected, rest)
        log.notes.append("the last entry lacks its end of line: a writer was killed after it")
    elif last is not None and whole is None and is_torn(rest, last):
        log.notes.append(
            f"{len(rest)} bytes of an entry that was never completed stand at the end: a writer "
            "was killed; the next one cuts them off and says so"
        )
    else:
        log.faults.append("what stands after the last line is no entry that was being written")


def _look_at_head(log: AccountLog, head: Head | None) -> None:
    if not log.entries:
        return
    last = log.entries[-1]
    if head is None or head.public_key != log.public_key or not head.is_signed():
        log.faults.append(f"{HEAD_FILE} is missing or was changed")
    elif head.sequence > last.sequence:
        log.faults.append(
            f"entries {last.sequence + 1} to {head.sequence} were cut off the end: {HEAD_FILE} "
            "names them"
        )
    elif (head.sequence, head.hash) == (last.sequence - 1, last.before):
        log.notes.append(f"{HEAD_FILE} is one entry behind: a writer was killed between the two")
    elif (head.account, head.sequence, head.hash) != (log.account, last.sequence, last.hash):
        log.faults.append(f"{HEAD_FILE} names an entry that is not the last one")


def _unended(entries: list[Entry]) -> Iterator[str]:
    ended = {entry.begun for entry in entries}
    for entry in entries:
        if entry.outcome == "begun" and entry.sequence not in ended:
            yield (
                f"entry {entry.sequence} ({entry.event}, {entry.at}) began and has no end: it is "
                "still running, or was killed"
            )


def _against_heads(log: AccountLog, heads: Iterable[Head]) -> Iterator[str]:
    by_sequence = {entry.sequence: entry for entry in log.entries}
    for head in heads:
        if head.account != log.account:
            continue
        entry = by_sequence.get(head.sequence)
        if head.public_key != log.public_key:
            yield f"the head of entry {head.sequence} was signed with another key than the log"
        elif entry is None:
            yield f"entry {head.sequence}, which the head names, is missing"
        elif entry.hash != head.hash:
            yield f"entry {head.sequence} is another one than the head names: it was rewritten"
