"""Bypassing the honest broker: each attack with real accounts, and nothing is answered.

The requester can do whatever their account can; what is put into place as root stands for an
administrator who restores files, or for an attacker with more luck than the system allows.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from extract.identity.tokens import Tokeniser
from governance.settings import SETTINGS_FILE
from ops.cli import main as cli
from tests.helpers.accounts import ACCOUNTS, APPROVER, REQUESTER, STRANGER, Done, Stage, why_not
from tests.helpers.small_zones import (
    AWAY_VISIT,
    H1_PATIENT,
    H1_VISIT,
    H2_VISIT,
    MRN,
    NAME,
    NUMBER,
    zoned_home,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

BROKER = ACCOUNTS.broker
OTHERS = [730_000_000_000 + number for number in range(5)]


class Office:
    """The broker's installation and what its people do there."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.home = stage.home
        self.spool = self.home / "broker"
        tokeniser = Tokeniser((self.home / "vault" / "token.key").read_bytes())
        self.visit = tokeniser.tokenise_one(H1_VISIT, "ehr.ed_visit")
        self.foreign = tokeniser.tokenise_one(H2_VISIT, "ehr.ed_visit")
        self.away = tokeniser.tokenise_one(AWAY_VISIT, "ehr.ed_visit")
        self.patient = tokeniser.tokenise_one(H1_PATIENT, "ehr.patient")
        self.others = [tokeniser.tokenise_one(number, "ehr.patient") for number in OTHERS]

    def ask(self, *tokens: str, account: str = REQUESTER, hospital: str = "H1") -> tuple[str, Done]:
        worklist = self.home.parent / "worklist.txt"
        worklist.write_text("\n".join(tokens or (self.visit,)) + "\n")
        worklist.chmod(0o644)
        words = ["--hospital", hospital, "--worklist", worklist]
        words += ["--reason", "patient_safety", "--purpose", "HOPERAT"]
        done = self.stage.scutari(account, "vault", "request", *words)
        found = re.search(r"[0-9a-f]{32}", done.out)
        return (found[0] if found else ""), done

    def asked(self, *tokens: str, **how: str) -> str:
        request, done = self.ask(*tokens, **how)
        assert done.code == 0, done.err
        return request

    def approve(self, request: str, account: str = APPROVER) -> Done:
        return self.stage.scutari(account, "vault", "approve", request, "--yes")

    def approved(self, *tokens: str, **how: str) -> str:
        request = self.asked(*tokens, **how)
        assert self.approve(request).code == 0
        return request

    def look_up(self, request: str) -> Done:
        return self.stage.scutari(BROKER, "vault", "lookup", request, "--show")

    def look_up_at(self, request: str, moment: str) -> Done:
        """Look up at another time than now, by an expression over it."""
        return self.stage.python(
            BROKER,
            f"""
from datetime import UTC, datetime, timedelta
from extract.broker.lookup import look_up
from governance.settings import load_settings
now = datetime.now(UTC)
print(look_up(load_settings(home), {request!r}, deliver=False, now={moment}).text())
""",
        )

    def request_file(self, request: str) -> Path:
        return self.spool / "requests" / f"{request}.json"

    def approval_file(self, request: str, account: str = APPROVER) -> Path:
        return self.spool / "approvals" / f"{request}.{account}.json"

    @property
    def log(self) -> Path:
        return self.home / "audit" / BROKER / "log.jsonl"

    def entries(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [e for e in map(json.loads, lines) if e["event"] == "identity_lookup"]

    def assert_refused(self, done: Done, code: str) -> None:
        assert done.code != 0
        assert_silent(done)
        last = self.entries()[-1]
        assert (last["outcome"], last["parameters"]["refusal"]) == ("refused", code)

    def lay(self, path: Path, content: str | bytes, owner: str, mode: int = 0o644) -> None:
        path.unlink(missing_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        shutil.chown(path, owner, owner)


def assert_silent(done: Done) -> None:
    for told in (MRN, NAME, NUMBER, "M-OTHER-2"):
        assert told not in done.out + done.err


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    with zoned_home() as home, Stage(home) as stage:
        done = stage.scutari(ACCOUNTS.extractor, "snapshot")
        assert done.code == 0, done.err
        assert stage.scutari("root", "zones", "--prepare").code == 0
        yield Office(stage)


def test_a_worklist_of_ones_own_hospital_is_answered_once(office: Office) -> None:
    request = office.approved(office.visit, office.others[0])
    done = office.stage.scutari(BROKER, "vault", "lookup", request)
    assert done.code == 0, done.err
    assert_silent(done)
    answer = office.spool / "answers" / REQUESTER / f"{request}.csv"
    text = answer.read_text()
    assert text.splitlines()[0] == "token,record_number,visit_number"
    assert f"{office.visit},{MRN},{NUMBER}" in text.splitlines()
    assert f"{office.others[0]},M{OTHERS[0]:08d}," in text.splitlines()
    assert NAME not in text
    begun, ended = office.entries()[-2:]
    assert (begun["outcome"], ended["outcome"]) == ("begun", "done")
    assert begun["parameters"] | {"snapshot_id": "", "request_sha256": ""} == {
        "requester": REQUESTER,
        "approver": APPROVER,
        "role": "quality_team",
        "reason": "patient_safety",
        "purpose": "HOPERAT",
        "hospital": "H1",
        "persons": 2,
        "snapshot_id": "",
        "request_sha256": "",
    }
    for told in (MRN, NAME, NUMBER):
        assert told not in office.log.read_text()
    # The requester opens it, nobody else but the broker.
    read = f"print(len(Path({str(answer)!r}).read_text()))"
    assert office.stage.python(REQUESTER, read).code == 0
    for other in (APPROVER, STRANGER, ACCOUNTS.extractor, ACCOUNTS.dashboards):
        assert "PermissionError" in office.stage.python(other, read).err


def test_a_role_sees_what_is_its_to_see(office: Office) -> None:
    request = office.asked(office.patient, account=APPROVER)
    office.lay(
        office.approval_file(request, "uucp"),
        forged(office, request, "uucp"),
        "uucp",
    )
    with Roles(office, '[roles.uucp]\nrole = "honest_broker"\nhospitals = ["H1"]\n'):
        done = office.look_up(request)
    assert done.code == 0, done.err
    assert done.out.splitlines()[1].split(",")[1:4] == [MRN, f"First{H1_PATIENT}", NAME]


def forged(office: Office, request: str, approver: str) -> str:
    """What an approver would have written."""
    import hashlib  # noqa: PLC0415
    from datetime import UTC, datetime  # noqa: PLC0415

    digest = hashlib.sha256(office.request_file(request).read_bytes()).hexdigest()
    body = {
        "format": 1,
        "request_id": request,
        "request_sha256": digest,
        "approver": approver,
        "approved_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return json.dumps(body, indent=1) + "\n"


class Roles:
    """Settings with another end, for a while."""

    def __init__(self, office: Office, text: str, old: str = "", new: str = "") -> None:
        self.path = office.home / SETTINGS_FILE
        self.text, self.old, self.new = text, old, new
        self.answers = [
            office.spool / "answers" / name for name in re.findall(r"roles\.(\w+)", text)
        ]

    def __enter__(self) -> None:
        self.before = self.path.read_text()
        self.path.write_text(self.before.replace(self.old, self.new) + self.text)
        for folder in self.answers:
            folder.mkdir(mode=0o700)
            shutil.chown(folder, BROKER, folder.name)
            folder.chmod(0o2750)

    def __exit__(self, *_: object) -> None:
        self.path.write_text(self.before)
        for folder in self.answers:
            shutil.rmtree(folder)


@pytest.mark.parametrize("account", [REQUESTER, APPROVER])
def test_nobody_approves_their_own_request(office: Office, account: str) -> None:
    request = office.asked(account=account)
    office.approve(request, account)
    office.assert_refused(office.look_up(request), "not_approved")


def test_a_role_that_may_ask_may_not_therefore_approve(office: Office) -> None:
    request = office.asked(account=APPROVER)
    office.approve(request, REQUESTER)
    office.approve(request, STRANGER)
    office.assert_refused(office.look_up(request), "not_approved")


def test_an_approver_of_another_hospital(office: Office) -> None:
    request = office.approved()
    with Roles(office, "", old='hospitals = ["H1", "H2"]', new='hospitals = ["H2"]'):
        office.assert_refused(office.look_up(request), "not_approved")


def test_an_approval_in_somebody_elses_name(office: Office) -> None:
    """Who approves is the file's owner, whatever the file says."""
    request = office.asked()
    for forger in (REQUESTER, STRANGER):
        office.lay(office.approval_file(request), forged(office, request, APPROVER), forger)
        office.assert_refused(office.look_up(request), "not_approved")
        office.approval_file(request).unlink()
    # Laid down first, it does not keep the approver's own from counting.
    path = office.approval_file(request, "aaa")
    office.lay(path, forged(office, request, APPROVER), STRANGER)
    assert office.approve(request).code == 0
    assert office.look_up(request).code == 0


def test_an_approver_is_shown_codes_and_nothing_that_could_deceive(office: Office) -> None:
    request = office.asked()
    path = office.request_file(request)
    for hospital in ("\\u001b[2J asks for nothing", "H1 and H2", ""):
        content = path.read_text().replace('"hospital": "H1"', f'"hospital": "{hospital}"')
        office.lay(office.request_file("1" * 32), content.replace(request, "1" * 32), REQUESTER)
        done = office.approve("1" * 32)
        assert (done.code, "is no request" in done.err) == (1, True)
        assert "\x1b" not in done.out + done.err
    office.lay(path, path.read_bytes(), STRANGER)
    assert "names somebody else" in office.approve(request).err


def test_an_approval_of_another_request(office: Office) -> None:
    other, request = office.approved(office.others[1]), office.asked()
    genuine = office.approval_file(other).read_text()
    for content in (genuine, genuine.replace(other, request)):
        office.lay(office.approval_file(request), content, APPROVER)
        office.assert_refused(office.look_up(request), "not_approved")


def test_a_request_edited_after_its_approval(office: Office) -> None:
    request = office.approved()
    path = office.request_file(request)
    code = f"""
path = Path({str(path)!r})
path.write_text(path.read_text().replace('"patient_safety"', '"court_order"'))
"""
    assert office.stage.python(REQUESTER, code).code == 0
    office.assert_refused(office.look_up(request), "not_approved")


def test_an_approval_is_used_once(office: Office) -> None:
    request = office.approved()
    papers = (office.request_file(request), office.approval_file(request))
    kept = [path.read_bytes() for path in papers]
    assert office.look_up(request).code == 0
    office.assert_refused(office.look_up(request), "used")
    # Taken away and put back, with a fresh approval as well, and the broker's own notes gone.
    for path, content, owner in zip(papers, kept, (REQUESTER, APPROVER), strict=True):
        path.unlink()
        office.lay(path, content, owner)
    office.approve(request)
    shutil.rmtree(office.spool / "ledger")
    assert office.stage.scutari("root", "zones", "--prepare").code == 0
    office.assert_refused(office.look_up(request), "used")


def test_a_used_request_under_another_name(office: Office) -> None:
    request = office.approved()
    content = office.request_file(request).read_bytes()
    assert office.look_up(request).code == 0
    other = "0" * 32
    office.lay(office.request_file(other), content, REQUESTER)
    office.lay(office.approval_file(other), forged(office, other, APPROVER), APPROVER)
    office.assert_refused(office.look_up(other), "unreadable")


def test_a_kill_between_the_log_and_the_answer_spends_the_approval(office: Office) -> None:
    request = office.approved()
    code = f"""
import signal
from extract.broker import lookup
from governance.settings import load_settings
lookup.read_records = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
lookup.look_up(load_settings(home), {request!r})
"""
    assert office.stage.python(BROKER, code).code == -9
    assert office.entries()[-1]["outcome"] == "begun"
    office.assert_refused(office.look_up(request), "used")
    assert not (office.spool / "answers" / REQUESTER / f"{request}.csv").exists()


def test_of_two_lookups_with_one_approval_one_answers(office: Office) -> None:
    for _ in range(3):
        request = office.approved()
        command: list[object] = ["vault", "lookup", request, "--show"]
        done = office.stage.at_once(BROKER, command, command, command)
        assert sorted(one.code for one in done) == [0, 1, 1]
        assert sum(MRN in one.out for one in done) == 1


def test_an_approval_expires(office: Office) -> None:
    request = office.approved()
    office.assert_refused(office.look_up_at(request, "now + timedelta(hours=24)"), "expired")
    done = office.look_up_at(request, "now + timedelta(hours=23, minutes=59)")
    assert (done.code, MRN in done.out) == (0, True)


def test_an_approval_dated_ahead_does_not_live_longer(office: Office) -> None:
    request = office.asked()
    content = forged(office, request, APPROVER).replace('"approved_at": "20', '"approved_at": "21')
    office.lay(office.approval_file(request), content, APPROVER)
    office.assert_refused(office.look_up(request), "expired")


def test_a_clock_set_back_revives_nothing(office: Office) -> None:
    assert office.look_up(office.approved()).code == 0
    request = office.approved()
    office.assert_refused(office.look_up_at(request, "now - timedelta(hours=1)"), "clock")


def test_so_many_persons_in_a_day_and_no_more(office: Office) -> None:
    before = sum(
        entry["parameters"]["persons"]
        for entry in office.entries()
        if entry["outcome"] == "begun" and entry["parameters"]["requester"] == REQUESTER
    )
    first, second, third = (office.approved(*office.others[:n]) for n in (2, 2, 1))
    with Roles(office, "", old="daily_persons = 200", new=f"daily_persons = {before + 3}"):
        assert office.look_up(first).code == 0
        office.assert_refused(office.look_up(second), "daily_cap")
        assert office.look_up(third).code == 0
        later = office.look_up_at(second, "now + timedelta(hours=23, minutes=59)")
        office.assert_refused(later, "daily_cap")


def test_a_visit_and_its_registration_are_one_person(office: Office) -> None:
    assert office.look_up(office.approved(office.visit, office.patient)).code == 0
    assert office.entries()[-2]["parameters"]["persons"] == 1


def test_another_hospitals_worklist(office: Office) -> None:
    request = office.approved(office.foreign, hospital="H2")
    office.assert_refused(office.look_up(request), "hospital")


def _foreign(office: Office) -> str:
    return office.foreign


def _away(office: Office) -> str:
    return office.away


def _unknown(_: Office) -> str:
    return "a" + "0" * 19


def _older(office: Office) -> str:
    return "9" + office.visit[1:]


@pytest.mark.parametrize("other", [_foreign, _away, _unknown, _older])
def test_one_wrong_token_refuses_the_whole_worklist(
    office: Office, other: Callable[[Office], str]
) -> None:
    """And it is not said which: that would tell who is known elsewhere."""
    request = office.approved(office.visit, other(office))
    done = office.look_up(request)
    office.assert_refused(done, "tokens")
    assert other(office) not in done.err
    assert office.visit not in done.err


def test_without_a_place_for_the_answer_the_approval_is_kept(office: Office) -> None:
    request = office.approved()
    folder = office.spool / "answers" / REQUESTER
    folder.rename(folder.with_name("aside"))
    done = office.stage.scutari(BROKER, "vault", "lookup", request)
    folder.with_name("aside").rename(folder)
    assert (done.code, "zones --prepare" in done.err) == (1, True)
    assert office.look_up(request).code == 0


def test_a_role_without_lookups(office: Office) -> None:
    request = office.approved(account=STRANGER)
    office.assert_refused(office.look_up(request), "role")


@pytest.mark.parametrize("word", [NAME, MRN, "Jane Roe", "710017100171", "*", "%"])
def test_nobody_is_searched_for(office: Office, word: str) -> None:
    _, done = office.ask(office.visit, word)
    assert done.code == 1
    assert word not in done.err.replace(str(office.home), "")
    # Written by hand, it is no request.
    request = office.approved()
    content = office.request_file(request).read_text().replace(office.visit, word)
    office.lay(office.request_file(request), content, REQUESTER)
    office.lay(office.approval_file(request), forged(office, request, APPROVER), APPROVER)
    office.assert_refused(office.look_up(request), "unreadable")
    assert NAME not in office.log.read_text()
    office.request_file(request).unlink()


def test_the_command_takes_a_request_and_nothing_else() -> None:
    vault = cli.main.commands["vault"]
    assert isinstance(vault, click.Group)
    names = {parameter.name for parameter in vault.commands["lookup"].params}
    assert names == {"home", "demo", "request_id", "show"}
    names = {parameter.name for parameter in vault.commands["request"].params}
    assert names == {"home", "demo", "hospital", "worklist", "reason", "purpose"}


def test_a_request_in_somebody_elses_name(office: Office) -> None:
    request = office.approved()
    content = office.request_file(request).read_bytes()
    office.lay(office.request_file(request), content, STRANGER)
    office.assert_refused(office.look_up(request), "owner")


def _symlink(path: Path) -> None:
    path.rename(path.with_name("elsewhere.json"))
    path.symlink_to("elsewhere.json")


def _hard_link(path: Path) -> None:
    os.link(path, path.with_name("second-name.json"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _writable(path: Path) -> None:
    path.chmod(0o664)


def _long(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" " * (1 << 17))


def _other_bytes(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


@pytest.mark.parametrize("trick", [_symlink, _hard_link, _pipe, _writable, _long, _other_bytes])
def test_a_request_that_is_no_file_of_its_own(
    office: Office, trick: Callable[[Path], None]
) -> None:
    request = office.approved()
    trick(office.request_file(request))
    office.assert_refused(office.look_up(request), "unreadable")
    (office.spool / "requests" / "second-name.json").unlink(missing_ok=True)
    (office.spool / "requests" / "elsewhere.json").unlink(missing_ok=True)


@pytest.mark.parametrize("trick", [_symlink, _hard_link, _pipe, _writable])
def test_an_approval_that_is_no_file_of_its_own(
    office: Office, trick: Callable[[Path], None]
) -> None:
    request = office.approved()
    trick(office.approval_file(request))
    office.assert_refused(office.look_up(request), "not_approved")
    (office.spool / "approvals" / "second-name.json").unlink(missing_ok=True)
    (office.spool / "approvals" / "elsewhere.json").unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["../../vault/keyring", "0" * 31, "0" * 32, "*", ""])
def test_a_request_that_is_not_there(office: Office, name: str) -> None:
    office.assert_refused(office.look_up(name), "unreadable")


def test_nobody_touches_what_others_laid_down(office: Office) -> None:
    request = office.approved()
    for path in (office.request_file(request), office.approval_file(request)):
        place, folder = str(path), str(path.parent)
        for act in (
            f"os.unlink({place!r})",
            f"open({place!r}, 'a')",
            f"os.rename({place!r}, {place!r} + '.old')",
            f"os.listdir({folder!r})",
        ):
            assert "PermissionError" in office.stage.python(STRANGER, act).err, act
    assert office.look_up(request).code == 0


def test_without_its_log_the_broker_is_silent(office: Office) -> None:
    request = office.approved()
    office.log.chmod(0o400)
    try:
        done = office.look_up(request)
    finally:
        office.log.chmod(0o640)
    assert (done.code, "could not be written" in done.err) == (1, True)
    assert_silent(done)
    assert office.look_up(request).code == 0


def test_a_log_that_forgot_a_lookup_silences_the_broker(office: Office) -> None:
    """The entry that spent an approval is cut out, or cut off the end with its head."""
    request = office.approved()
    assert office.look_up(request).code == 0
    before = office.log.read_bytes()
    lines = before.splitlines(keepends=True)
    for forgetful in (lines[:-2], [*lines[:-2], lines[-1]], [*lines[:1], *lines[2:]]):
        office.log.write_bytes(b"".join(forgetful))
        done = office.look_up(request)
        assert (done.code, "audit log" in done.err) == (1, True)
        assert_silent(done)
    office.log.write_bytes(before)
    office.assert_refused(office.look_up(request), "used")
    assert office.stage.scutari("root", "audit", "verify").code == 0


@pytest.mark.parametrize("account", [REQUESTER, APPROVER, ACCOUNTS.extractor, ACCOUNTS.dashboards])
def test_only_the_brokers_account_looks_up(office: Office, account: str) -> None:
    request = office.approved()
    done = office.stage.scutari(account, "vault", "lookup", request, "--show")
    assert (done.code, f"account {BROKER}" in done.err) == (1, True)
    assert_silent(done)
    # Past the command line the permissions stand.
    code = f"""
from extract.broker.lookup import look_up
from governance.settings import load_settings
print(look_up(load_settings(home), {request!r}, deliver=False).text())
"""
    done = office.stage.python(account, code)
    assert (done.code, "PermissionError" in done.err) == (70, True)
    assert_silent(done)


def test_a_key_of_the_brokers_that_a_group_can_read(office: Office) -> None:
    request = office.approved()
    key = next((office.spool / "keys").glob("*.key"))
    key.chmod(0o640)
    try:
        done = office.look_up(request)
    finally:
        key.chmod(0o600)
    assert (done.code, "chmod 600" in done.err) == (1, True)
    assert_silent(done)


def test_no_identifier_stands_outside_the_requesters_answers(office: Office) -> None:
    request = office.approved()
    assert office.stage.scutari(BROKER, "vault", "lookup", request).code == 0
    zones = {"vault", "restricted", "sources"}
    for path in office.home.rglob("*"):
        where = path.relative_to(office.home)
        if path.is_file() and where.parts[0] not in zones and where.parts[1:2] != ("answers",):
            content = path.read_bytes()
            for told in (MRN, NAME, NUMBER):
                assert told.encode() not in content, where
