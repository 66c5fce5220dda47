"""The audit log: what gets into it, and when it is on the disk."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from governance.audit.events import EVENTS, about, checked, current_account
from governance.audit.keys import KEY_FILE
from governance.audit.log import HEAD_FILE, LOG_FILE, append, audited
from governance.audit.verify import verify_logs
from governance.errors import AuditError
from governance.settings import Settings
from tests.helpers.audited import child, folder, lines

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
