"""The audit log: what gets into it, when it is on the disk, and what a crash leaves."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from governance.audit import log as log_module
from governance.audit.entries import parse_head
from governance.audit.events import EVENTS, about, checked, current_account
from governance.audit.keys import KEY_FILE
from governance.audit.log import HEAD_FILE, LOG_FILE, append, audited
from governance.audit.verify import read_logs, verify_logs
from governance.errors import AuditError, KeyFileError
from governance.settings import PROJECT_ROOT, SETTINGS_FILE, Settings
from ops.cli import main as cli

SNAPSHOT = "20260701T031500Z"
# What must not get into the log by any field: names, record numbers, addresses, sentences.
CANARIES: list[object] = [
    "Jane Roe",
    "jane_roe",
    "Roe",
    "JaneRoe1980",
    "jane.roe@example.org",
    "710017100171",
    "MRN-0012345",
    "7100171",
    "1980-05-17",
    "headache since Tuesday, call the daughter",
    "20261399T031500Z",
    f"{SNAPSHOT}\n",
    f"{SNAPSHOT} Jane Roe",
    "\u0662\u0660\u0662\u0666\u0660\u0667\u0660\u0661T031500Z",
    "",
    "../../etc/passwd",
    "open\n",
    710017100171,
    7100171,
    12345,
    -1,
    1.5,
    float("nan"),
    b"Jane Roe",
    ["Jane Roe"],
    {"name": "Jane Roe"},
    ("open",),
]


class Disguised(str):
    """A text that says it equals whatever is asked for."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("open")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def folder(settings: Settings) -> Path:
    return settings.audit / current_account()


def lines(settings: Settings) -> list[dict[str, Any]]:
    text = (folder(settings) / LOG_FILE).read_text()
    return [json.loads(line) for line in text.splitlines()]


def child(settings: Settings, script: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", CHILD + script, str(settings.home), *arguments],
        cwd=PROJECT_ROOT,
        env=os.environ | {"PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        check=False,
    )


CHILD = """
import os, signal, sys
from pathlib import Path
from governance.audit import keys, log
from governance.audit.log import append, audited
from governance.settings import Settings
settings = Settings(home=Path(sys.argv[1]))
def die():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_entries_are_numbered_chained_and_bound_to_the_account(settings: Settings) -> None:
    append(settings, "build", {"snapshot_id": SNAPSHOT, "models": 12, "tests": None})
    append(settings, "publish", {"hospitals": 6})
    opened, build, publish = lines(settings)
    assert [opened["event"], build["event"], publish["event"]] == ["log_opened", "build", "publish"]
    assert [entry["sequence"] for entry in (opened, build, publish)] == [1, 2, 3]
    assert (build["before"], publish["before"]) == (opened["hash"], build["hash"])
    assert build["parameters"] == {"models": 12, "snapshot_id": SNAPSHOT}
    assert {entry["actor"] for entry in (opened, build, publish)} == {current_account()}
    assert build["at"].endswith("Z")
    [found] = verify_logs(settings)
    assert (len(found.entries), found.notes) == (3, [])


def test_the_files_are_made_with_safe_permissions(settings: Settings) -> None:
    previous = os.umask(0)
    try:
        append(settings, "build", {})
    finally:
        os.umask(previous)
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder(settings).iterdir()}
    assert modes == {KEY_FILE: 0o600, LOG_FILE: 0o640, HEAD_FILE: 0o640}
    assert folder(settings).stat().st_mode & 0o777 == 0o750


def test_an_action_is_written_before_it_begins_and_after_it_ended(settings: Settings) -> None:
    with audited(settings, "release", profile="open") as action:
        assert lines(settings)[-1]["outcome"] == "begun"
        action.add(tables=3, rows=about(12_345))
    begun, done = lines(settings)[1:]
    assert (begun["outcome"], begun["begun"], begun["parameters"]) == (
        "begun",
        None,
        {"profile": "open"},
    )
    assert (done["outcome"], done["begun"]) == ("done", begun["sequence"])
    assert done["parameters"] == {"rows": 12_000, "tables": 3}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(ValueError("Jane Roe"), "failed"), (SystemExit(1), "stopped"), (KeyboardInterrupt(), None)],
)
def test_an_action_that_fails_says_so_and_nothing_of_why(
    settings: Settings, error: BaseException, outcome: str | None
) -> None:
    with pytest.raises(type(error)), audited(settings, "publish", snapshot_id=SNAPSHOT):
        raise error
    assert lines(settings)[-1]["outcome"] == (outcome or "stopped")
    assert "Jane Roe" not in (folder(settings) / LOG_FILE).read_text()
    assert verify_logs(settings)[0].notes == []


def test_an_action_that_is_killed_leaves_a_beginning_that_is_no_damage(settings: Settings) -> None:
    done = child(settings, "with audited(settings, 'publish'): die()")
    assert done.returncode == -signal.SIGKILL
    [log] = verify_logs(settings)
    [note] = log.notes
    assert note.startswith("entry 2 (publish, ")
    assert "has no end" in note


def test_an_entry_is_on_the_disk_before_its_writer_goes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(settings, "build", {})
    synced: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        real(handle)
        synced.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)

    monkeypatch.setattr(os, "fsync", fsync)
    with audited(settings, "build"):
        assert synced == [LOG_FILE, f".{HEAD_FILE}.new", folder(settings).name]


@pytest.mark.parametrize(
    ("event", "name"),
    [(event, name) for event, body in EVENTS.items() for name in body.parameters],
)
def test_no_field_takes_a_canary(settings: Settings, event: str, name: str) -> None:
    settings.operational.mkdir()
    for canary in [*CANARIES, Disguised("Jane Roe")]:
        with pytest.raises(AuditError) as caught:
            checked(settings, event, "done", {name: canary})
        message = str(caught.value)
        assert not any(word in message for word in ("Roe", "roe", "7100171", "daughter", "1980"))
    assert not settings.audit.exists()


def test_what_is_not_declared_is_refused_and_not_repeated(settings: Settings) -> None:
    attempts: list[tuple[str, dict[str, object]]] = [
        ("Jane Roe", {}),
        ("build", {"Jane Roe": 1}),
        ("build", {"note": "Jane Roe"}),
    ]
    for event, parameters in attempts:
        with pytest.raises(AuditError) as caught:
            append(settings, event, parameters)
        assert "Jane Roe" not in str(caught.value)
        assert "governance/audit/events.py" in str(caught.value)
    for event, parameters in (
        ("log_opened", {"public_key": "0" * 64}),
        ("log_recovered", {"cut_bytes": 1}),
    ):
        with pytest.raises(AuditError, match="by itself"):
            append(settings, event, parameters)
    with pytest.raises(AuditError) as caught:
        append(settings, "build", {}, outcome="Jane Roe")  # type: ignore[arg-type]
    assert "Jane Roe" not in str(caught.value)
    assert not settings.audit.exists()


def test_a_lookup_needs_all_that_binds_it(settings: Settings) -> None:
    (settings.operational / "harbour").mkdir(parents=True)
    whole = {
        "requester": "root",
        "approver": "root",
        "role": "honest_broker",
        "reason": "patient_safety",
        "purpose": "TREAT",
        "token": "b" + "0" * 19,
        "hospital": "harbour",
    }
    assert append(settings, "identity_lookup", whole, outcome="begun").parameters == whole
    for name in ("requester", "approver", "role", "reason", "purpose"):
        with pytest.raises(AuditError, match=name):
            append(settings, "identity_lookup", whole | {name: None}, outcome="begun")
    for name, value in {"hospital": "mill_valley", "approver": "nobody-here"}.items():
        with pytest.raises(AuditError, match=name):
            append(settings, "identity_lookup", whole | {name: value}, outcome="begun")


@pytest.mark.parametrize(
    ("rows", "rounded"),
    [(0, 0), (7, 7), (99, 99), (100, 100), (109, 100), (710017100171, 71 * 10**10)],
)
def test_rows_are_cut_to_two_digits(rows: int, rounded: int) -> None:
    assert about(rows) == rounded
    assert about(rounded) == rounded


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


def test_an_account_without_a_plain_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    class Person:
        pw_name = "CLINIC\\Jane Roe"

    monkeypatch.setattr("governance.audit.events.pwd.getpwuid", lambda _: Person)
    assert current_account() == f"uid-{os.geteuid()}"


def test_a_directory_that_waits_for_its_first_entry_is_no_log(settings: Settings) -> None:
    """An administrator makes one for every account; not all of them have acted."""
    waiting = settings.audit / "somebody"
    waiting.mkdir(parents=True)
    with pytest.raises(AuditError, match="There is no audit log"):
        verify_logs(settings)
    append(settings, "build", {})
    assert [log.account for log in verify_logs(settings)] == [current_account()]
    (waiting / "head").touch()
    with pytest.raises(AuditError, match=r"somebody: log\.jsonl is missing"):
        verify_logs(settings)


ONE_ACCOUNT = 'synthetic = true\n[sources.ehr]\nkind = "sqlite"\npath = "x"\n'


def invoke(settings: Settings, *command: str) -> Result:
    (settings.home / SETTINGS_FILE).write_text(ONE_ACCOUNT)
    return CliRunner().invoke(cli.main, ["audit", *command, "--home", str(settings.home)])


def test_the_commands(settings: Settings) -> None:
    for command in ("verify", "head", "show"):
        result = invoke(settings, command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("error: There is no audit log in")
        assert len(result.stderr.splitlines()) == 1
    with audited(settings, "build", is_partial=False):
        pass
    sent = invoke(settings, "head").stdout
    head = parse_head(sent.removesuffix("\n"))
    assert head is not None
    assert head.is_signed()
    file = settings.home / "heads.txt"
    file.write_text(sent)
    append(settings, "publish", {"hospitals": 6})
    file.write_text(sent + invoke(settings, "head").stdout)
    assert "All 2 heads given are in it" in invoke(settings, "verify", "--head", str(file)).stdout
    plain = invoke(settings, "verify")
    assert plain.exit_code == 0
    assert "4 entries" in plain.stdout
    assert "No earlier head was given" in plain.stdout
    shown = invoke(settings, "show").stdout.splitlines()
    assert len(shown) == 4
    assert shown[1].endswith("build begun is_partial=false")
    assert shown[2].endswith("build done (of 2)")
    assert invoke(settings, "show", "--since", "2999-01-01").stdout == ""
    assert invoke(settings, "show", "--since", "2000-01-01").stdout.splitlines() == shown


@pytest.mark.parametrize("content", [None, "", "\n", "Jane Roe\n", "é", "changed"])
def test_a_head_file_that_is_none_is_one_sentence(settings: Settings, content: str | None) -> None:
    append(settings, "build", {})
    file = settings.home / "heads.txt"
    if content == "changed":
        content = invoke(settings, "head").stdout.replace(" 2 ", " 3 ")
    if content is not None:
        file.write_text(content)
    result = invoke(settings, "verify", "--head", str(file))
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert str(file) in result.stderr
    assert "Jane" not in result.stderr


def test_a_damaged_log_shows_what_is_sound_and_gives_no_head(settings: Settings) -> None:
    append(settings, "build", {})
    append(settings, "publish", {})
    path = folder(settings) / LOG_FILE
    path.write_bytes(path.read_bytes().replace(b'"build"', b'"buiId"'))
    shown = invoke(settings, "show")
    assert shown.exit_code == 1
    assert [line.split()[3] for line in shown.stdout.splitlines()] == ["log_opened", "publish"]
    assert "line 2 was changed or is no entry" in shown.stderr
    head = invoke(settings, "head")
    assert (head.exit_code, head.stdout) == (1, "")
