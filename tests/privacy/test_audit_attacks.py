"""Attacks on the audit log: each must be found, by the next writer or by ``scutari audit verify``.

The attacker can write every file of the log, but has no signing key unless a test says so.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from governance.audit import log as log_module
from governance.audit.entries import NOTHING_BEFORE, Entry, Head, parse_entry, sealed
from governance.audit.events import current_account
from governance.audit.keys import KEY_FILE, public_key_of, read_key
from governance.audit.log import HEAD_FILE, LOG_FILE, append, audited
from governance.audit.verify import read_heads, verify_logs
from governance.errors import AuditError, KeyFileError, ScutariError
from governance.settings import Settings

SNAPSHOT = "20260701T031500Z"


class Log:
    """A log of eight entries, as its attacker sees it."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home)
        with audited(self.settings, "snapshot", is_full=False) as action:
            action.add(snapshot_id=SNAPSHOT, tables=31, rows=1_200_000)
        with audited(self.settings, "build", snapshot_id=SNAPSHOT, target="duckdb"):
            pass
        with audited(self.settings, "release", profile="open"):
            pass
        append(self.settings, "publish", {"hospitals": 6})
        self.folder = self.settings.audit / current_account()
        self.path = self.folder / LOG_FILE

    @property
    def lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines(keepends=True)

    def write(self, lines: list[bytes]) -> None:
        self.path.write_bytes(b"".join(lines))

    def head(self) -> Head:
        return verify_logs(self.settings)[0].head()

    def assert_found(self, pattern: str, *heads: Head) -> None:
        with pytest.raises(ScutariError, match=pattern) as caught:
            verify_logs(self.settings, heads)
        assert "\n" not in str(caught.value)

    def assert_writer_refuses(self) -> None:
        before = self.path.read_bytes() if self.path.exists() else None
        with pytest.raises((AuditError, KeyFileError)), audited(self.settings, "publish"):
            raise AssertionError("the action went on")
        assert (self.path.read_bytes() if self.path.exists() else None) == before


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def rewritten(lines: list[bytes], key: Ed25519PrivateKey, start: int = 0) -> list[bytes]:
    """Number, chain and sign entries anew, as one does who knows how but not with which key."""
    result = lines[:start]
    before = NOTHING_BEFORE
    if start:
        last = parse_entry(lines[start - 1].rstrip())
        assert last is not None
        before = last.hash
    for number, line in enumerate(lines[start:], start + 1):
        values: dict[str, Any] = json.loads(line) | {"sequence": number, "before": before}
        if values["event"] == "log_opened":
            values["parameters"] = {"public_key": public_key_of(key)}
        entry = sealed(Entry(**values), key)
        result.append(entry.line() + b"\n")
        before = entry.hash
    return result


def with_head_of(log: Log, lines: list[bytes], public_key: str) -> None:
    last = parse_entry(lines[-1].rstrip())
    assert last is not None
    (log.folder / HEAD_FILE).write_text(f"{last.head(public_key)}\n")


def test_an_untouched_log_passes(log: Log) -> None:
    [found] = verify_logs(log.settings, [log.head()])
    assert (len(found.entries), found.faults, found.notes) == (8, [], [])


FIELDS = list(json.loads(Entry(1, "", "", "", "", "", None, {}).line()))


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("name", FIELDS)
def test_one_byte_of_any_field(log: Log, name: str, number: int) -> None:
    lines = log.lines
    line = lines[number - 1]
    match = re.search(rf'"{name}":(\{{.*?\}}|"[^"]*"|[^,]*)'.encode(), line)
    assert match is not None
    place = match.end(1) - 2 if match.end(1) - match.start(1) > 1 else match.start(1)
    changed = b"7" if line[place : place + 1] != b"7" else b"8"
    log.write([*lines[: number - 1], line[:place] + changed + line[place + 1 :], *lines[number:]])
    log.assert_found(f"line {number} was changed|entry {number} is not signed")


@pytest.mark.parametrize(
    ("written", "otherwise"),
    [
        (b'"sequence":4,', b'"sequence": 4,'),
        (b'"sequence":4,', b'"sequence":3,"sequence":4,'),
        (b'"build"', b'"\\u0062uild"'),
        (b'"begun":null', b'"begun":null '),
        (b"}\n", b"}\r\n"),
    ],
)
def test_the_same_said_in_another_way(log: Log, written: bytes, otherwise: bytes) -> None:
    lines = log.lines
    assert written in lines[3]
    lines[3] = lines[3].replace(written, otherwise)
    log.write(lines)
    log.assert_found("line 4 was changed")


@pytest.mark.parametrize("place", [LOG_FILE, HEAD_FILE])
def test_a_signature_in_capitals(log: Log, place: str) -> None:
    signature = log.head().signature
    path = log.folder / place
    path.write_text(path.read_text().replace(signature, signature.upper()))
    log.assert_found("line 8 was changed" if place == LOG_FILE else "head is missing or was")
    log.assert_writer_refuses()


@pytest.mark.parametrize("number", range(1, 9))
def test_a_field_changed_with_its_hash(log: Log, number: int) -> None:
    """Who mends the hash lacks the signature, and the next entry still names the old hash."""
    lines = log.lines
    values = json.loads(lines[number - 1]) | {"at": "2026-01-01T00:00:00.000000Z"}
    values["hash"] = Entry(**values).digest()
    lines[number - 1] = Entry(**values).line() + b"\n"
    log.write(lines)
    log.assert_found(f"entry {number} is not signed with the log's key")
    if number < 8:
        log.assert_found(f"entry {number + 1} does not follow the one before it")


@pytest.mark.parametrize("number", range(1, 8))
def test_an_entry_deleted(log: Log, number: int) -> None:
    lines = log.lines
    log.write(lines[: number - 1] + lines[number:])
    log.assert_found(f"entries {number} to {number} are missing at line {number}")


@pytest.mark.parametrize("kept", range(8))
def test_entries_deleted_at_the_end(log: Log, kept: int) -> None:
    log.write(log.lines[:kept])
    log.assert_found(f"entries {kept + 1} to 8 were cut off the end" if kept else "missing")
    log.assert_writer_refuses()


@pytest.mark.parametrize("count", [1, 2, 100])
def test_the_end_of_the_last_entry_cut_off(log: Log, count: int) -> None:
    """Not a torn line: the head says that the entry was complete."""
    log.path.write_bytes(log.path.read_bytes()[:-count])
    log.assert_found("entries 8 to 8 were cut off|no entry that was being written")
    if count > 1:
        log.assert_writer_refuses()


def test_an_entry_cut_off_together_with_its_head(log: Log) -> None:
    """Earlier heads can be put together from the log itself: only one sent off tells."""
    sent = log.head()
    lines = log.lines[:-1]
    log.write(lines)
    with_head_of(log, lines, sent.public_key)
    assert verify_logs(log.settings)[0].notes == []
    log.assert_found("entry 8, which the head names, is missing", sent)


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 3), (3, 7), (7, 8), (1, 8)])
def test_two_entries_change_places(log: Log, first: int, second: int) -> None:
    lines = log.lines
    lines[first - 1], lines[second - 1] = lines[second - 1], lines[first - 1]
    log.write(lines)
    log.assert_found("out of its place")


@pytest.mark.parametrize("place", range(9))
@pytest.mark.parametrize("copied", [1, 4, 8])
def test_an_entry_stands_twice(log: Log, copied: int, place: int) -> None:
    lines = log.lines
    lines.insert(place, lines[copied - 1])
    log.write(lines)
    log.assert_found("out of its place|are missing at line")


@pytest.mark.parametrize("place", range(1, 9))
def test_an_entry_put_in(log: Log, place: int) -> None:
    lines = log.lines
    lines.insert(place, lines[3].replace(b'"build"', b'"publish"'))
    log.write(rewritten(lines, Ed25519PrivateKey.generate(), start=place))
    log.assert_found(f"entry {place + 1} is not signed with the log's key")
    log.assert_writer_refuses()


def test_the_whole_chain_rewritten_without_the_key(log: Log) -> None:
    sent, thief = log.head(), Ed25519PrivateKey.generate()
    lines = rewritten([*log.lines[:5], log.lines[7]], thief)
    log.write(lines)
    log.assert_found(f"signed with another key than {KEY_FILE}")
    with_head_of(log, lines, public_key_of(thief))
    log.assert_found(f"signed with another key than {KEY_FILE}")
    log.assert_found("the head of entry 8 was signed with another key than the log", sent)
    log.assert_writer_refuses()


def test_the_key_file_swapped(log: Log) -> None:
    thief = Ed25519PrivateKey.generate()
    (log.folder / KEY_FILE).write_bytes(thief.private_bytes_raw())
    log.assert_found(f"signed with another key than {KEY_FILE}")
    log.assert_writer_refuses()


def test_the_whole_chain_and_the_key_file_replaced(log: Log) -> None:
    """A new log from beginning to end: nothing on the machine can tell, a head sent off does."""
    sent, thief = log.head(), Ed25519PrivateKey.generate()
    lines = rewritten(log.lines[:3], thief)
    log.write(lines)
    with_head_of(log, lines, public_key_of(thief))
    (log.folder / KEY_FILE).write_bytes(thief.private_bytes_raw())
    assert verify_logs(log.settings)[0].notes == []
    log.assert_found("the head of entry 8 was signed with another key than the log", sent)


def test_who_has_the_key_rewrites_what_no_head_was_sent_of(log: Log) -> None:
    """What is not claimed: with the key, only what stands before a head sent off is safe."""
    key = read_key(log.folder)
    assert key is not None
    sent = log.head()
    append(log.settings, "release", {"profile": "open"})
    append(log.settings, "build", {})
    lines = rewritten([*log.lines[:8], log.lines[9]], key, start=8)
    log.write(lines)
    with_head_of(log, lines, public_key_of(key))
    [found] = verify_logs(log.settings, [sent])
    assert ([entry.event for entry in found.entries[8:]], found.notes) == (["build"], [])
    lines[1] = lines[1].replace(b'"is_full":false', b'"is_full":true')
    lines = rewritten(lines, key, start=1)
    log.write(lines)
    with_head_of(log, lines, public_key_of(key))
    assert verify_logs(log.settings)[0].notes == []
    log.assert_found("entry 8 is another one than the head names: it was rewritten", sent)


@pytest.mark.parametrize("added", [0, 1, 5])
def test_an_old_copy_of_everything_put_back(log: Log, tmp_path: Path, added: int) -> None:
    shutil.copytree(log.folder, tmp_path / "copy")
    append(log.settings, "release", {"profile": "open"})
    sent = log.head()
    shutil.rmtree(log.folder)
    shutil.copytree(tmp_path / "copy", log.folder)
    for _ in range(added):
        append(log.settings, "build", {})
    assert verify_logs(log.settings)
    log.assert_found("entry 9, which the head names, is missing|it was rewritten", sent)


def test_an_old_copy_of_the_log_alone_or_of_its_head_alone(log: Log) -> None:
    old_log, old_head = log.path.read_bytes(), (log.folder / HEAD_FILE).read_bytes()
    for _ in range(2):
        append(log.settings, "build", {})
    new_log, new_head = log.path.read_bytes(), (log.folder / HEAD_FILE).read_bytes()
    log.path.write_bytes(old_log)
    log.assert_found("entries 9 to 10 were cut off the end")
    log.assert_writer_refuses()
    log.path.write_bytes(new_log)
    (log.folder / HEAD_FILE).write_bytes(old_head)
    log.assert_found("head names an entry that is not the last one")
    log.assert_writer_refuses()
    (log.folder / HEAD_FILE).write_bytes(new_head)
    assert verify_logs(log.settings)


@pytest.mark.parametrize("name", [LOG_FILE, HEAD_FILE, KEY_FILE])
def test_a_file_removed(log: Log, name: str) -> None:
    (log.folder / name).unlink()
    log.assert_found(f"{name} is missing")
    log.assert_writer_refuses()


def test_everything_removed_is_found_with_a_head(log: Log) -> None:
    sent = log.head()
    shutil.rmtree(log.folder)
    log.assert_found("There is no audit log", sent)
    append(log.settings, "build", {})
    assert verify_logs(log.settings)
    log.assert_found("signed with another key", sent)
    log.folder.rename(log.folder.with_name("somebody"))
    log.assert_found("another account's", sent)
    log.assert_found("1 of the accounts that heads name have no log here", sent)


def test_the_clock_set_back_is_told(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    class Yesterday(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) - timedelta(days=1)

    monkeypatch.setattr(log_module, "datetime", Yesterday)
    append(log.settings, "release", {"profile": "open"})
    assert verify_logs(log.settings)[0].notes == [
        "entry 9 is dated before the one it follows: the clock was set back, or was wrong before"
    ]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace(" 8 ", " 7 "),
        lambda text: text.replace(" 8 ", " 08 "),
        lambda text: text[:-1],
        lambda text: text.upper(),
        lambda text: text + "0",
    ],
)
def test_a_head_file_changed(log: Log, tmp_path: Path, spoil: Callable[[str], str]) -> None:
    text = str(log.head())
    file = tmp_path / "sent.txt"
    file.write_text(spoil(text) + "\n")
    with pytest.raises(AuditError, match=r"Line 1 of .* is no head"):
        read_heads(file)
    (log.folder / HEAD_FILE).write_text(spoil(text) + "\n")
    log.assert_found("head is missing or was changed")


def test_torn_looking_garbage_is_damage(log: Log) -> None:
    whole = log.path.read_bytes()
    for garbage in (b"{", b'{"sequence":9,', b'{"sequence":9,"before":"'):
        log.path.write_bytes(whole + garbage)
        assert "never completed" in verify_logs(log.settings)[0].notes[0]
    for garbage in (b"Jane Roe", b'{"sequence":8', b'{"sequence":9,"before":"g', b"{\xff"):
        log.path.write_bytes(whole + garbage)
        log.assert_found("no entry that was being written")
        log.assert_writer_refuses()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Log, bytes, Head]:
    log = Log(tmp_path_factory.mktemp("shared"))
    return log, log.path.read_bytes(), log.head()


@st.composite
def mutations(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """One change of a file: of a bit, of a stretch, of whole lines."""
    kind = draw(st.sampled_from(["bit", "byte", "cut", "put in", "copy", "end", "add", "lines"]))
    first, second = (draw(st.integers(0, 10**6)) for _ in range(2))
    some = draw(st.binary(min_size=1, max_size=20))

    def change(whole: bytes) -> bytes:
        start, stop = sorted((first % len(whole), second % len(whole)))
        lines = whole.splitlines(keepends=True)
        lines.insert(second % len(lines), lines.pop(first % len(lines)))
        changed = {
            "bit": whole[:start] + bytes([whole[start] ^ 1 << second % 8]) + whole[start + 1 :],
            "byte": whole[:start] + some[:1] + whole[start + 1 :],
            "cut": whole[:start] + whole[stop:],
            "put in": whole[:start] + some + whole[start:],
            "copy": whole[:stop] + whole[start:stop] + whole[stop:],
            "end": whole[:start],
            "add": whole + some,
            "lines": b"".join(lines),
        }
        return changed[kind]

    return change


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(change=mutations())
def test_any_single_change_of_the_file_is_found(
    shared: tuple[Log, bytes, Head], change: Callable[[bytes], bytes]
) -> None:
    log, whole, sent = shared
    changed = change(whole)
    assume(changed != whole)
    log.path.write_bytes(changed)
    try:
        [found] = verify_logs(log.settings, [sent])
    except AuditError as error:
        assert "\n" not in str(error)
        return
    # What was added behind the last line looks like a torn line, and is told as one.
    assert changed.startswith(whole)
    assert len(found.notes) == 1
