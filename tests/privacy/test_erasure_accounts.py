"""Erasing a person where every zone has an account of its own: real user ids, real permissions.

Root starts it. What it leaves must look as if each account had done its part itself, and a link
that an account laid into its zone must lead root nowhere.
"""

from __future__ import annotations

import json
import pwd
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from extract.identity.vault import CROSSWALK
from governance.settings import SETTINGS_FILE, load_settings
from tests.helpers.accounts import ACCOUNTS, Done, Stage, why_not
from tests.helpers.small_warehouse import build_small_warehouse
from tests.helpers.small_zones import H1_PATIENT, H1_VISIT, MRN, NAME, NUMBER, zoned_home
from tests.helpers.vault import current_vault, read_vault

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]
A = ACCOUNTS
OWNERS = {
    "lake": A.extractor,
    "vault": A.extractor,
    "restricted": A.extractor,
    "tombstones": A.extractor,
    "warehouse": A.builder,
    "published": A.builder,
    "operational": A.builder,
    "release": A.release,
    "chart_audit": A.dashboards,
    "handed_over": A.dashboards,
}
# Whoever else may read a zone, to whom every file in it must be open, and nobody else.
GROUPS = {
    "lake": A.lake_readers,
    "tombstones": A.lake_readers,
    "vault": A.broker,
    "handed_over": A.extractor,
}
CLOSED = ("restricted", "release", "warehouse", "chart_audit")
AS_READER = """
from extract.erasure.state import last_head
from governance.settings import load_settings
from ops.warehouse import current_snapshot
settings = load_settings(home)
print(current_snapshot(settings), last_head(settings))
"""
# Chart reviews: of a visit of hers, of two visits of which the later is hers, of somebody else's;
# and a report, which counts her.
REVIEWED = """
from chart_audit.store import Case, Review, opened_store
from governance.settings import load_settings
answers = {name: frozenset([code]) for name, code in (
    ("quality_issue", "no"), ("diagnosis_concordance", "same"))}
for key, later in ((VISIT, "b" * 20), ("c" * 20, VISIT), ("d" * 20, "e" * 20)):
    with opened_store(load_settings(home), "H1") as store:
        store.open_case(Case(key, later, "sample", "2024-01-01"), "anna")
        comment = "Elm Street " + key
        store.submit(Review(key, "first", "anna", answers=answers, comment=comment))
report = home / "reports" / "H1" / "2024-Q1"
report.mkdir(parents=True)
(report / "H1_2024-Q1.pdf").write_text("one of one visit")
"""
CASES = """
from chart_audit.store import opened_store
from governance.settings import load_settings
with opened_store(load_settings(home), "H1") as store:
    print(*(case.index_visit_key for case in store.cases()))
"""
# As if the power went while the second snapshot is being put in place.
KILLED = """
import signal
from extract.erasure import amend
from governance.settings import load_settings
from ops.erasure import erase_person, plan_person
put, settings = amend.Amender._put_in_place, load_settings(home)
def die(amender, snapshot):
    put(amender, snapshot)
    os.kill(os.getpid(), signal.SIGKILL)
amend.Amender._put_in_place = die
request = plan_person(settings, TOKEN, "court_order").request
erase_person(settings, TOKEN, "court_order", request)
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Stage]:
    """Two nights, a warehouse, a publication, a release, and what a killed release left."""
    with zoned_home() as home, Stage(home) as running:
        assert running.scutari(A.extractor, "snapshot").code == 0
        assert running.scutari(A.extractor, "snapshot").code == 0
        other = home.parent / "small"
        other.mkdir()
        build_small_warehouse(other)
        for name in ("warehouse.duckdb", "warehouse.build.json"):
            shutil.move(other / name, home / "warehouse" / name)
            shutil.chown(home / "warehouse" / name, A.builder)
        done = running.scutari(A.builder, "publish")
        assert done.code == 0, done.err
        code = """
for name in ("given", ".work", ".broken.tmp"):
    (home / "release" / name).mkdir()
    (home / "release" / name / "manifest.json").write_text("{}")
"""
        assert running.python(A.release, code).code == 0
        subprocess.run(["cp", "-a", home, home.parent / "kept"], check=True)
        yield running


@pytest.fixture
def stage(made: Stage) -> Stage:
    """The installation as it was made, with every owner and link."""
    shutil.rmtree(made.home)
    subprocess.run(["cp", "-a", made.home.parent / "kept", made.home], check=True)
    (made.home.parent / "request.txt").unlink(missing_ok=True)
    return made


def token_of(home: Path) -> str:
    frame = read_vault(current_vault(load_settings(home)), CROSSWALK)
    own = frame.filter(pl.col("registration_id") == str(H1_PATIENT))
    return str(own["registration_key"][0])


def visit_token_of(home: Path) -> str:
    visits = read_vault(current_vault(load_settings(home)), "ehr/ed_visits/2024-03.parquet")
    return str(visits.filter(pl.col("visit_number") == NUMBER)["token"].item())


def erase(stage: Stage, *words: str) -> Done:
    paper = stage.home.parent / "request.txt"
    if not paper.exists():
        paper.write_text(token_of(stage.home))
        paper.chmod(0o600)
    named = ("erase", "--person", paper, "--reason", "erasure_request", *words)
    return stage.scutari("root", *named)


def confirmed(stage: Stage) -> Done:
    planned = erase(stage, "--dry-run")
    assert planned.code == 0, planned.err
    found = re.search(r"--confirm (\w+)", planned.out)
    assert found is not None
    return erase(stage, "--confirm", found[1])


def assert_gone(home: Path, token: str) -> None:
    words = [str(H1_PATIENT), str(H1_VISIT), MRN, NAME, NUMBER, token]
    for path in home.rglob("*"):
        if path.is_file() and "sources" not in path.parts:
            text = path.read_bytes()
            assert not [word for word in words if word.encode() in text], path
    rows = [pl.read_parquet(p) for p in home.glob("lake/2*/ehr/patients/*.parquet")]
    assert rows and all(frame.height == 6 for frame in rows)


def assert_as_their_accounts_would_leave_it(stage: Stage) -> None:
    assert_zones_are_as_wanted(stage)
    for reader in (A.builder, A.release, A.broker):
        done = stage.python(reader, AS_READER)
        assert done.code == 0, done.err
        assert len(done.out.split()) == 2  # a snapshot, and the tombstone that it has to name


def assert_zones_are_as_wanted(stage: Stage) -> None:
    home = stage.home
    for zone, account in OWNERS.items():
        for path in (home / zone).rglob("*"):
            information = path.lstat()
            assert pwd.getpwuid(information.st_uid).pw_name == account, path
            if path.is_symlink():
                continue
            # Of a zone without other readers the directory itself is closed.
            assert not information.st_mode & stat.S_IRWXO or zone in CLOSED, path
            if zone in GROUPS and path.suffix != ".key" and not path.name.endswith(".lock"):
                closed = zone == "vault" and path.relative_to(home / zone).parts[0] != "versions"
                assert closed or path.group() == GROUPS[zone], path
                assert closed or information.st_mode & stat.S_IRGRP, path
    assert stage.scutari("root", "zones", "--check").code == 0


def test_a_person_is_erased_from_the_zones_of_all_accounts(stage: Stage) -> None:
    home, token = stage.home, token_of(stage.home)
    assert NUMBER in "".join(
        read_vault(current_vault(load_settings(home)), "ehr/ed_visits/2024-03.parquet")[
            "visit_number"
        ].drop_nulls()
    )
    done = confirmed(stage)
    assert done.code == 0, done.err
    assert "2 snapshots amended" in done.out
    assert f"`scutari build` and `scutari publish` as {A.builder}" in done.out
    assert_gone(home, token)
    assert_as_their_accounts_would_leave_it(stage)
    # Each zone lost what was made of the person, and the receipt names what was given out.
    assert not [*home.glob("warehouse/warehouse.*"), *home.glob("operational/*/*.duckdb")]
    assert not [*home.glob("release/.work"), *home.glob("release/.*.tmp")]
    (receipt,) = home.glob("restricted/erasures/*.json")
    body = json.loads(receipt.read_text())
    assert [release["name"] for release in body["releases"]] == ["given"]
    assert body["removed"] > 0
    refused = stage.scutari(A.builder, "publish")
    assert (refused.code, "no whole green build" in refused.err) == (1, True)
    # And does not come back with the next night, which the builder can read.
    taken = stage.scutari(A.extractor, "snapshot")
    assert taken.code == 0, taken.err
    assert_gone(home, token)
    assert_as_their_accounts_would_leave_it(stage)


def test_only_root_can_start_it_and_it_says_why(stage: Stage) -> None:
    for account in (A.extractor, A.builder):
        done = stage.scutari(account, "erase", "--again")
        assert done.code == 1
        assert "is for the account root (it does the part of each zone as its account" in done.err


def test_an_erasure_that_was_killed_is_finished_and_leaves_no_file_to_root(stage: Stage) -> None:
    token = token_of(stage.home)
    cut = stage.python("root", KILLED.replace("TOKEN", repr(token)))
    assert "A part of the erasure was cut off: run `scutari erase --again`" in cut.err
    for account, command in ((A.extractor, "snapshot"), (A.builder, "publish")):
        assert stage.scutari(account, command).code == 1
    again = stage.scutari("root", "erase", "--again")
    assert again.code == 0, again.err
    assert_gone(stage.home, token)
    assert_as_their_accounts_would_leave_it(stage)
    assert stage.scutari(A.extractor, "snapshot").code == 0


def test_reports_and_her_chart_reviews_go_and_a_restore_brings_none_back(stage: Stage) -> None:
    visit, path = visit_token_of(stage.home), stage.home / "chart_audit" / "H1.sqlite"
    planted = stage.python(A.dashboards, REVIEWED.replace("VISIT", repr(visit)))
    assert planted.code == 0, planted.err
    shutil.copy2(path, stage.home.parent / "backup")
    handed = stage.home / "handed_over" / "chart_audit.sqlite"
    assert stage.scutari(A.dashboards, "chart-audit", "hand-over").code == 0
    assert visit.encode() in handed.read_bytes()
    done = confirmed(stage)
    assert (done.code, "2 chart reviews removed" in done.out) == (0, True), done.err
    assert not list((stage.home / "reports").iterdir())

    def assert_one_is_left() -> None:
        assert stage.python(A.dashboards, CASES).out.split() == ["d" * 20]
        for word in (visit, "c" * 20):
            assert word.encode() not in path.read_bytes()
            assert word.encode() not in handed.read_bytes()
        assert b"d" * 20 in handed.read_bytes()
        assert_as_their_accounts_would_leave_it(stage)

    assert_one_is_left()
    path.write_bytes((stage.home.parent / "backup").read_bytes())
    again = stage.scutari("root", "erase", "--again")
    assert (again.code, "2 chart reviews removed" in again.out) == (0, True), again.err
    assert_one_is_left()
    # A store that cannot be searched stops an erasure before it begins.
    path.chmod(0o644)
    refused = stage.scutari("root", "erase", "--again")
    assert (refused.code, "closed to others" in refused.err) == (1, True)
    path.chmod(0o600)
    assert stage.scutari("root", "erase", "--again").code == 0


def test_rows_that_expire_leave_every_file_to_its_account(stage: Stage) -> None:
    settings = stage.home / SETTINGS_FILE
    words = '[retention.tables]\n"ehr.ed_visits" = {months = 1}\n'
    settings.write_text(f"{settings.read_text()}\n{words}")
    assert stage.scutari(A.builder, "retain").code == 1
    done = stage.scutari(A.extractor, "retain")
    assert (done.code, "2 snapshots lose rows" in done.out) == (0, True), done.err
    for path in stage.home.rglob("*"):
        if path.is_file() and "sources" not in path.parts:
            assert str(H1_VISIT).encode() not in path.read_bytes(), path
    assert_zones_are_as_wanted(stage)
    for reader in (A.builder, A.release, A.broker):
        done = stage.python(reader, AS_READER)
        assert done.code == 0, done.err
    assert stage.scutari(A.extractor, "snapshot").code == 0
    assert_zones_are_as_wanted(stage)


PLANTS = {
    # A receipt, a tombstone and a lock written through a link; files deleted behind one.
    A.extractor: """
(home / "restricted" / "erasures").symlink_to(VICTIM)
(home / "tombstones" / ".pending.new").symlink_to(VICTIM + "/planted")
(home / "tombstones" / ".log.jsonl.new").symlink_to(VICTIM + "/planted")
""",
    A.builder: """
(home / "operational" / "H9").symlink_to(VICTIM)
(home / "warehouse" / "work" / "build").symlink_to(VICTIM)
""",
}


@pytest.mark.parametrize("account", PLANTS)
def test_a_planted_link_leads_root_nowhere(stage: Stage, account: str) -> None:
    victim = stage.home.parent / f"victim-{account}"
    victim.mkdir(mode=0o755)
    for name in ("kept.duckdb", "kept.txt"):
        (victim / name).write_text("root's own")
    before = {path: path.stat() for path in (victim, *victim.iterdir())}
    planted = stage.python(account, PLANTS[account].replace("VICTIM", repr(str(victim))))
    assert planted.code == 0, planted.err
    token, done = token_of(stage.home), confirmed(stage)
    assert (done.code, "PermissionError" in done.err) == (1, True)
    after = {path: path.stat() for path in (victim, *victim.iterdir())}
    assert set(after) == set(before)
    for path, was in before.items():
        now = after[path]
        assert (now.st_uid, now.st_mode, now.st_mtime_ns, now.st_ino) == (
            was.st_uid,
            was.st_mode,
            was.st_mtime_ns,
            was.st_ino,
        )
    # Nothing is read until somebody has taken the link away.
    assert stage.scutari(A.extractor, "snapshot").code == 1
    for link in (stage.home / "restricted" / "erasures", stage.home / "operational" / "H9"):
        link.unlink(missing_ok=True)
    assert stage.scutari("root", "erase", "--again").code == 0
    assert_gone(stage.home, token)
    assert_as_their_accounts_would_leave_it(stage)
