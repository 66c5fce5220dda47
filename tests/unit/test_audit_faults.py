"""The audit log under many writers, kills, full disks and files that others can open."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from governance.audit import log as log_module
from governance.audit.keys import KEY_FILE
from governance.audit.log import LOG_FILE, append, audited
from governance.audit.verify import read_logs, verify_logs
from governance.errors import AuditError, KeyFileError
from governance.settings import PROJECT_ROOT, Settings
from tests.helpers.audited import CHILD, child, folder, lines


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def test_many_processes_write_one_chain(settings: Settings) -> None:
    writers = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                CHILD + "for n in range(20): append(settings, 'build', {'models': n})",
                str(settings.home),
            ],
            cwd=PROJECT_ROOT,
            env=os.environ | {"PYTHONPATH": str(PROJECT_ROOT)},
        )
        for _ in range(6)
    ]
    assert [writer.wait() for writer in writers] == [0] * 6
    [log] = verify_logs(settings)
    assert (len(log.entries), log.notes) == (121, [])
    written = [entry.parameters.get("models") for entry in log.entries[1:]]
    assert sorted(map(int, written)) == sorted(list(range(20)) * 6)  # type: ignore[arg-type]


def test_a_writer_that_hangs_is_told_of(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(settings, "build", {})
    monkeypatch.setattr(log_module, "WAIT_SECONDS", 0.05)
    with log_module.held(folder(settings)), pytest.raises(AuditError, match="another process"):
        append(settings, "build", {})
    append(settings, "build", {})


TORN = """
real = os.write
def write(handle, line):
    part = int(sys.argv[2])
    real(handle, line[:part] if part >= 0 else line[:len(line) + part])
    die()
log.os.write = write
append(settings, "publish", {"hospitals": 6})
"""


@pytest.mark.parametrize("part", [1, 15, 100, 300, -100, -2])
def test_a_torn_line_is_cut_off_and_said(settings: Settings, part: int) -> None:
    append(settings, "build", {})
    before = (folder(settings) / LOG_FILE).read_bytes()
    assert child(settings, TORN, str(part)).returncode == -signal.SIGKILL
    torn = (folder(settings) / LOG_FILE).read_bytes()
    assert torn.startswith(before)
    cut = len(torn) - len(before)
    assert cut > 0
    [log] = verify_logs(settings)
    assert log.notes == [
        f"{cut} bytes of an entry that was never completed stand at the end: a writer was killed; "
        "the next one cuts them off and says so"
    ]
    append(settings, "build", {})
    assert [entry["event"] for entry in lines(settings)] == [
        "log_opened",
        "build",
        "log_recovered",
        "build",
    ]
    assert lines(settings)[2]["parameters"] == {"cut_bytes": cut}
    assert verify_logs(settings)[0].notes == []


def test_zeros_that_a_power_cut_leaves_are_a_torn_line(settings: Settings) -> None:
    append(settings, "build", {})
    with (folder(settings) / LOG_FILE).open("ab") as file:
        file.write(bytes(100))
    assert "100 bytes" in verify_logs(settings)[0].notes[0]
    append(settings, "build", {})
    assert lines(settings)[2]["parameters"] == {"cut_bytes": 100}


def test_a_whole_entry_without_its_end_of_line_counts(settings: Settings) -> None:
    append(settings, "build", {})
    assert child(settings, TORN, "-1").returncode == -signal.SIGKILL
    [log] = verify_logs(settings)
    assert [entry.event for entry in log.entries] == ["log_opened", "build", "publish"]
    assert any("lacks its end of line" in note for note in log.notes)
    append(settings, "build", {})
    assert [entry["event"] for entry in lines(settings)][2:] == ["publish", "build"]
    assert verify_logs(settings)[0].notes == []


def test_a_kill_between_log_and_head_is_mended(settings: Settings) -> None:
    append(settings, "build", {})
    assert (
        child(
            settings, "log._Writer._put_head = lambda *_: die()\n" + "append(settings, 'build', {})"
        ).returncode
        == -9
    )
    [log] = verify_logs(settings)
    assert log.notes == ["head is one entry behind: a writer was killed between the two"]
    append(settings, "build", {})
    assert verify_logs(settings)[0].notes == []
    assert len(lines(settings)) == 4


FIRST_RUN = """
step = int(sys.argv[2])
def counted(real):
    def call(*arguments):
        global step
        step -= 1
        if step < 0:
            die()
        return real(*arguments)
    return call
for name in ("write", "fsync", "replace"):
    setattr(os, name, counted(getattr(os, name)))
append(settings, "build", {})
"""


def test_a_first_run_that_is_killed_anywhere_is_begun_again(tmp_path: Path) -> None:
    for step in range(40):
        settings = Settings(home=tmp_path / str(step))
        done = child(settings, FIRST_RUN, str(step))
        append(settings, "publish", {})
        [log] = verify_logs(settings)
        assert log.notes == []
        assert log.entries[-1].event == "publish"
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    assert step > 10


@pytest.fixture
def small_files() -> Iterator[None]:
    """A test may limit the size of files: the kernel then fails writes as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("room", [0, 1, 200])
@pytest.mark.usefixtures("small_files")
def test_a_full_disk_stops_the_action(settings: Settings, room: int) -> None:
    for _ in range(3):
        append(settings, "build", {})
    path = folder(settings) / LOG_FILE
    before = path.read_bytes()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + room, hard))
    acted = False
    with pytest.raises(AuditError) as caught, audited(settings, "publish"):
        acted = True
    assert not acted
    assert str(caught.value) == (
        f"The audit log {folder(settings)} could not be written (the disk is full): free space or "
        "correct the permissions and try again; nothing goes on without its entry."
    )
    assert path.read_bytes() == before
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    append(settings, "build", {})
    assert verify_logs(settings)[0].notes == []


def test_a_full_disk_at_the_end_says_that_the_action_is_done(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int, _line: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(AuditError, match="The publish is done, but the audit log holds only"):
        with audited(settings, "publish"):
            monkeypatch.setattr(log_module, "_write", full)
    monkeypatch.undo()
    assert "has no end" in verify_logs(settings)[0].notes[0]


def test_a_full_disk_does_not_hide_why_an_action_failed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int, _line: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ValueError, match="the reason"), audited(settings, "publish"):
        monkeypatch.setattr(log_module, "_write", full)
        raise ValueError("the reason")


def test_a_head_that_cannot_be_written_stops_the_action_and_the_next_mends_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(settings, "build", {})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(log_module, "write_whole", full)
    for _ in range(3):
        with pytest.raises(AuditError, match="the disk is full"):
            append(settings, "publish", {})
    monkeypatch.undo()
    # Only the first got into the log: the others met its missing head.
    assert len(lines(settings)) == 3
    append(settings, "build", {})
    assert verify_logs(settings)[0].notes == []


def test_a_place_that_cannot_be_written_to_is_one_sentence(settings: Settings) -> None:
    settings.audit.write_text("a file where a directory belongs")
    with pytest.raises(AuditError, match=r"could not be written \(.*\): free space or correct"):
        append(settings, "build", {})


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_key_that_others_can_open_is_refused(settings: Settings, mode: int) -> None:
    append(settings, "build", {})
    (folder(settings) / KEY_FILE).chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        append(settings, "build", {})
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_logs(settings)
