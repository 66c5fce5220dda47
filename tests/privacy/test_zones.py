"""Zones against the accounts of this machine: real user ids, real permissions, real commands.

The matrix below is not what the code says must be: it is what each account, having given up root,
could open and write, file by file.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from governance.settings import SETTINGS_FILE
from tests.helpers.accounts import ACCOUNTS, PEOPLE, REQUESTER, STRANGER, Stage, why_not
from tests.helpers.operational import write_installation
from tests.helpers.small_warehouse import build_small_warehouse
from tests.helpers.small_zones import CONTENT, NAME, zoned_home

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

A = ACCOUNTS
EVERY_ACCOUNT = (A.extractor, A.builder, A.release, A.dashboards, A.broker, *PEOPLE)
# What each account could read and write, by top directory; audit and broker are looked at apart.
READS: dict[str, set[str]] = {
    A.extractor: {"lake", "vault", "restricted", "sources", "handed_over"},
    A.builder: {"lake", "warehouse", "published", "operational"},
    A.release: {"lake", "release"},
    A.dashboards: {"published", "operational", "chart_audit", "handed_over", "reports"},
    A.broker: {"lake", "vault"},
    **{name: set() for name in PEOPLE},
}
WRITES: dict[str, set[str]] = {
    A.extractor: {"lake", "vault", "restricted", "sources"},
    A.builder: {"warehouse", "published", "operational"},
    A.release: {"release"},
    A.dashboards: {"chart_audit", "handed_over", "reports"},
    A.broker: set(),
    **{name: set() for name in PEOPLE},
}
COMMENT = "kestrelwing of elm street"
REVIEW = f"""
from chart_audit.store import Case, Review, opened_store
from governance.settings import Settings
with opened_store(Settings(home=home), "H1") as store:
    store.open_case(Case("a" * 20, None, "sample", "2026-01-01"), "anna")
    answers = {{"quality_issue": frozenset(["no"]), "diagnosis_concordance": frozenset(["same"])}}
    store.submit(Review("a" * 20, "first", "anna", answers=answers, comment="{COMMENT}"))
"""
READ_REVIEWS = """
import sqlite3
path = home / "handed_over" / "chart_audit.sqlite"
connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
print(connection.execute("select count(*) from case_reviews").fetchall()[0][0])
"""
OPEN_EACH = """
import json
opened = {"read": [], "write": [], "list": []}
for path in json.loads(Path(%r).read_text()):
    for how, flags in (("read", os.O_RDONLY), ("write", os.O_WRONLY)):
        try:
            os.close(os.open(path, flags))
            opened[how].append(path)
        except PermissionError:
            pass
    folder = os.path.dirname(path)
    try:
        open(folder + "/.planted", "x").close()
        os.unlink(folder + "/.planted")
        opened["write"].append(folder)
    except PermissionError:
        pass
print(json.dumps(opened))
"""


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with zoned_home() as place:
        yield place


@pytest.fixture(scope="module")
def stage(home: Path) -> Iterator[Stage]:
    """An installation in which each account has done its work."""
    with Stage(home) as running:
        done = running.scutari(A.extractor, "snapshot")
        assert done.code == 0, done.err
        assert running.scutari("root", "zones", "--prepare").code == 0
        other = home.parent / "small"
        other.mkdir(exist_ok=True)
        build_small_warehouse(other)
        for name in ("warehouse.duckdb", "warehouse.build.json"):
            shutil.move(other / name, home / "warehouse" / name)
            shutil.chown(home / "warehouse" / name, A.builder)
        done = running.scutari(A.builder, "publish")
        assert done.code == 0, done.err
        running.python(A.release, "(home / 'release' / 'open.parquet').write_text('x')")
        running.python(A.extractor, "(home / 'restricted' / 'drop.csv').write_text('x')")
        done = running.python(A.dashboards, REVIEW)
        assert done.code == 0, done.err
        done = running.scutari(A.dashboards, "chart-audit", "hand-over")
        assert done.code == 0, done.err
        quarter = ("report", "--quarter", "2024-Q4", "--hospital", "harbour")
        done = running.scutari(A.dashboards, *quarter)
        assert done.code == 0, done.err
        yield running


@contextmanager
def changed(path: Path, *, mode: int | None = None, owner: str | None = None) -> Iterator[None]:
    before = path.stat()
    if owner is not None:
        shutil.chown(path, owner)
    if mode is not None:
        path.chmod(mode)
    try:
        yield
    finally:
        os.chown(path, before.st_uid, before.st_gid)
        path.chmod(before.st_mode & 0o7777)


def opened(stage: Stage, account: str) -> dict[str, set[Path]]:
    files = [str(path) for path in stage.home.rglob("*") if path.is_file()]
    listed = stage.home.parent / "files.json"
    listed.write_text(json.dumps(files))
    done = stage.python(account, OPEN_EACH % str(listed))
    assert done.code == 0, done.err
    return {
        how: {Path(path).relative_to(stage.home) for path in paths}
        for how, paths in json.loads(done.out).items()
    }


def tops(paths: set[Path]) -> set[str]:
    return {path.parts[0] for path in paths} - {"audit", "broker", SETTINGS_FILE}


@pytest.mark.parametrize("account", EVERY_ACCOUNT)
def test_each_account_opens_its_zones_and_no_other(stage: Stage, account: str) -> None:
    found = opened(stage, account)
    assert tops(found["read"]) == READS[account]
    assert tops(found["write"]) == WRITES[account]
    # The log of another account, and any signing key but one's own.
    assert {path.parts[1] for path in found["read"] if path.parts[0] == "audit"} <= {account}
    assert {path.parts[1] for path in found["write"] if path.parts[0] == "audit"} <= {account}
    assert Path(SETTINGS_FILE) in found["read"]
    assert Path(SETTINGS_FILE) not in found["write"]


def test_the_broker_cannot_make_tokens_nor_use_the_extractors_key(stage: Stage) -> None:
    read = {path for path in opened(stage, A.broker)["read"] if path.parts[0] == "vault"}
    assert Path("vault/keyring.json") in read
    assert not {path for path in read if path.suffix == ".key"}


def test_the_builder_reads_the_lake_with_duckdb(stage: Stage) -> None:
    code = """
import duckdb
query = f"select count(*) from read_parquet('{home}/lake/current/ehr/ed_visits/*.parquet')"
print(duckdb.connect().execute(query).fetchall()[0][0])
"""
    assert stage.python(A.builder, code).out == "3\n"
    done = stage.python(A.dashboards, code)
    assert (done.code, done.out) == (70, "")


def test_the_extractor_reads_what_is_handed_over_and_no_comment(stage: Stage) -> None:
    assert stage.python(A.extractor, READ_REVIEWS).out == "1\n"
    for other in (A.builder, A.release, A.broker, STRANGER):
        assert stage.python(other, READ_REVIEWS).code != 0
    assert holding(stage.home / "chart_audit", COMMENT)
    assert not holding(stage.home / "handed_over", COMMENT)


def test_status_says_what_an_account_may_see(stage: Stage) -> None:
    told = stage.scutari(STRANGER, "status")
    assert told.code == 0, told.err
    for zone in ("lake", "published/current.duckdb", "release"):
        assert f"{stage.home / zone} is closed to this account" in told.out


def test_nobody_else_takes_a_zones_place(stage: Stage) -> None:
    """Whoever may write the home directory puts a directory of their own where the vault was."""
    for account in EVERY_ACCOUNT:
        code = "os.rename(home / 'published', home / 'elsewhere')"
        assert "PermissionError" in stage.python(account, code).err


@pytest.mark.parametrize(
    ("command", "account"),
    [
        ("snapshot", A.extractor),
        ("verify", A.extractor),
        ("vault rotate-key", A.extractor),
        ("vault rotate-tokens", A.extractor),
        ("build", A.builder),
        ("publish", A.builder),
        ("release open", A.release),
        ("dashboard", A.dashboards),
        ("chart-audit hand-over", A.dashboards),
        (f"vault lookup {'0' * 32}", A.broker),
        ("erase --again", "root"),
        ("retain", A.extractor),
    ],
)
def test_a_command_runs_under_its_account_alone(stage: Stage, command: str, account: str) -> None:
    for other in ("root", A.extractor, A.builder, A.broker, STRANGER):
        if other != account:
            done = stage.scutari(other, *command.split())
            assert done.code == 1
            assert f"is for the account {account}" in done.err
            assert "--demo out" in stage.scutari(other, *command.split(), "--demo").err


def test_the_nightly_job_is_that_of_two_accounts(stage: Stage) -> None:
    done = stage.scutari(A.extractor, "run")
    assert (done.code, "would need two of" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("zone", "mode", "owner"),
    [
        (".", 0o775, None),
        (".", None, A.builder),
        ("lake", 0o2755, None),
        ("lake", 0o2770, None),
        ("vault", 0o2755, None),
        ("vault", None, A.broker),
        ("restricted", 0o750, None),
        ("warehouse", 0o755, None),
        ("published", 0o2770, None),
        ("published", None, A.dashboards),
        ("operational", 0o2751, None),
        ("release", 0o755, None),
        ("chart_audit", 0o750, None),
        ("chart_audit", None, A.builder),
        ("handed_over", 0o2755, None),
        ("handed_over", None, A.extractor),
        ("reports", 0o750, None),
        ("audit", 0o777, None),
        ("broker/requests", 0o0777, None),
        ("broker/keys", 0o750, None),
        (f"broker/answers/{REQUESTER}", 0o2755, None),
        (SETTINGS_FILE, 0o666, None),
        (SETTINGS_FILE, None, A.builder),
    ],
)
def test_a_zone_that_is_open_stops_every_command(
    stage: Stage, zone: str, mode: int | None, owner: str | None
) -> None:
    path = stage.home / zone
    with changed(path, mode=mode, owner=owner):
        for account, command in ((A.extractor, "snapshot"), (A.builder, "publish")):
            done = stage.scutari(account, command)
            assert done.code == 1
            assert str(path) in done.err
            assert "zones --prepare" in done.err
        assert stage.scutari("root", "zones", "--check").code == 1
    assert stage.scutari("root", "zones", "--check").code == 0


def test_a_group_with_a_stranger_in_it_is_refused(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from governance import zones  # noqa: PLC0415
    from governance.settings import load_settings  # noqa: PLC0415

    settings = load_settings(stage.home)
    monkeypatch.setattr(zones, "members", lambda _: {A.extractor, A.dashboards})
    with pytest.raises(zones.ZoneError, match=f"{A.dashboards} has no business"):
        zones.check_zones(settings, A)


@pytest.mark.parametrize("key", ["vault/token.key", "vault/keys"])
def test_a_key_that_a_group_can_read_is_refused(stage: Stage, key: str) -> None:
    path = stage.home / key
    path = path if path.is_file() else next(path.glob("*.key"))
    with changed(path, mode=0o640):
        done = stage.scutari(A.extractor, "snapshot")
    assert (done.code, "chmod 600" in done.err) == (1, True)


def test_one_account_over_all_zones_is_refused_without_demo(home: Path, stage: Stage) -> None:
    other = home.parent / "one"
    write_installation(other, CONTENT, is_synthetic=False)
    for path in (other, *other.rglob("*")):
        shutil.chown(path, A.extractor)
    done = stage.scutari(A.extractor, "snapshot", "--home", other)
    assert (done.code, "names no accounts" in done.err) == (1, True)
    assert not (other / "vault").exists()
    assert stage.scutari(A.extractor, "snapshot", "--home", other, "--demo").code == 0


KILLED_SNAPSHOT = """
import signal
import extract.snapshot as snapshot
from governance.settings import load_settings
def die(*_, spill, **__):
    spill.mkdir(parents=True)
    (spill / "duckdb_temp.block").write_text("Quillfeather")
    os.kill(os.getpid(), signal.SIGKILL)
snapshot.link_registrations = die
snapshot.take_snapshot(load_settings(home), full=True)
"""
KILLED_BUILD = """
import signal
from governance.settings import load_settings
from ops.warehouse import dbt_spill, held
settings = load_settings(home)
with held(settings):
    (dbt_spill(settings) / "duckdb_temp.block").write_text("Quillfeather")
    spill = settings.work / "spill" / "publish"
    spill.mkdir(exist_ok=True)
    (spill / "duckdb_temp.block").write_text("Quillfeather")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def holding(folder: Path, text: str) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if text.encode() in path.read_bytes()]


def test_what_a_killed_snapshot_leaves_is_closed_and_wiped_by_the_next(stage: Stage) -> None:
    assert stage.python(A.extractor, KILLED_SNAPSHOT).code == -9
    left = holding(stage.home / "restricted", NAME)
    assert left
    for account in EVERY_ACCOUNT:
        if account != A.extractor:
            assert not {stage.home / path for path in opened(stage, account)["read"]} & set(left)
    assert stage.scutari(A.extractor, "snapshot").code == 0
    assert not holding(stage.home / "restricted", NAME)
    assert not [*stage.home.glob("*/.*.tmp"), *stage.home.glob("vault/versions/.*.tmp")]


def test_what_a_killed_build_leaves_is_wiped_by_the_next(stage: Stage) -> None:
    assert stage.python(A.builder, KILLED_BUILD).code == -9
    assert len(holding(stage.home / "warehouse" / "work", NAME)) == 2
    assert stage.scutari(A.builder, "publish").code == 0
    # What is built from the small installation does not matter; that it starts clean does.
    code = """
from governance.settings import load_settings
from ops.warehouse import held
with held(load_settings(home)):
    pass
"""
    assert stage.python(A.builder, code).code == 0
    assert not holding(stage.home / "warehouse" / "work", NAME)


def test_no_name_stands_where_another_account_could_read_it(stage: Stage) -> None:
    for account in EVERY_ACCOUNT:
        if account != A.extractor:
            for path in opened(stage, account)["read"]:
                assert NAME.encode() not in (stage.home / path).read_bytes(), path
