"""A new token key: every token is new, no person is, and the old tokens are still understood."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from extract.contract_files import load_contracts
from extract.contracts import operational_contracts
from extract.identity.tokens import KEY_FILE, Tokeniser
from extract.identity.vault import CROSSWALK
from extract.lake import read_manifest, snapshot_ids
from extract.rotation import rotate_master_key, rotate_tokens
from extract.snapshot import take_snapshot
from extract.status import describe_status
from extract.verify import verify_snapshot
from governance.audit.verify import read_logs
from governance.errors import KeyFileError, SnapshotError
from governance.settings import PROJECT_ROOT, Settings
from ops.cli.main import main
from ops.warehouse import current_snapshot
from tests.helpers.operational import write_installation
from tests.helpers.vault import current_vault, read_vault

pytestmark = pytest.mark.integration

MARCH, APRIL = datetime(2024, 3, 5, 8, tzinfo=UTC), datetime(2024, 4, 5, 8, tzinfo=UTC)
PEOPLE = [710_017_100_171, 710_027_100_272, 710_037_100_373]
GONE = PEOPLE[2]
CONTENT = {
    "ehr": {
        "hospitals": [{"hospital_id": "H1"}],
        "feeds": [{"hospital_id": "H1", "data_through_at": APRIL}],
        "patients": [{"patient_id": key, "hospital_id": "H1"} for key in PEOPLE],
        "ed_visits": [
            {"visit_id": n, "hospital_id": "H1", "patient_id": key, "arrived_at": moment}
            for n, key, moment in [(81, PEOPLE[0], MARCH), (82, PEOPLE[1], APRIL)]
        ],
    }
}


def forget(settings: Settings) -> None:
    """Take a registration and a visit out of the source, as a purge of the hospital would."""
    path = settings.home / "sources" / "ehr.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"delete from patients where patient_id = {GONE}")
        connection.execute("delete from ed_visits where visit_id = 82")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = write_installation(tmp_path / "home", CONTENT)
    take_snapshot(made)
    return made


def lake_tokens(directory: Path) -> pl.DataFrame:
    """Every token of a snapshot with its domain, and how often it stands there."""
    frames = [pl.DataFrame(schema={"key_domain": pl.String, "token": pl.String})]
    for source in operational_contracts(load_contracts(PROJECT_ROOT)).values():
        for table in source.tables.values():
            for file in sorted((directory / source.name / table.name).glob("*.parquet")):
                frame = pl.read_parquet(file)
                frames += [
                    frame.select(
                        pl.lit(c.key_domain).alias("key_domain"), pl.col(c.name).alias("token")
                    )
                    for c in table.lake_columns
                    if c.is_key
                ]
    return pl.concat(frames).drop_nulls()


def token_map(settings: Settings) -> pl.DataFrame:
    (path,) = (settings.restricted / "token_maps").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    return pl.read_parquet(path)


def persons(settings: Settings) -> dict[str, str]:
    """Person by raw registration id, from the crosswalk."""
    frame = read_vault(current_vault(settings), CROSSWALK)
    return dict(frame.select("registration_id", "person_key").iter_rows())


def assert_rotated(settings: Settings, before: Path, people: dict[str, str]) -> None:
    after = settings.lake / "current"
    old, new = lake_tokens(before), lake_tokens(after)
    assert set(old["token"].str.head(1)) == {"a"}
    assert set(new["token"].str.head(1)) == {"b"}
    mapped = old.join(
        token_map(settings), left_on=["key_domain", "token"], right_on=["key_domain", "old_token"]
    )
    assert mapped.height == old.height
    # The map is the whole of the change: the old snapshot's tokens, renamed, are the new one's.
    renamed = mapped.select("key_domain", pl.col("new_token").alias("token"))
    assert renamed.sort("key_domain", "token").equals(new.sort("key_domain", "token"))
    assert persons(settings) == people
    secret = (settings.vault / KEY_FILE).read_bytes()
    manifest = read_manifest(after.resolve(), secret)
    assert manifest.token_epoch == "b"
    crosswalk = read_vault(current_vault(settings), CROSSWALK)
    tokeniser = Tokeniser(secret, 0xB)
    for row in crosswalk.iter_rows(named=True):
        expected = tokeniser.tokenise_one(int(row["registration_id"]), "ehr.patient")
        assert row["registration_key"] == expected
    for name in snapshot_ids(settings.lake):
        verify_snapshot(settings, name)
    assert "restore" not in describe_status(settings)


def test_every_token_is_new_and_no_person_is(settings: Settings) -> None:
    before, people = (settings.lake / "current").resolve(), persons(settings)
    run = CliRunner().invoke(main, ["vault", "rotate-tokens", "--home", str(settings.home)])
    assert run.exit_code == 0, run.output
    assert "epoch a gives way to b" in run.output
    verify_snapshot(settings)  # until the next snapshot all is as it was
    told: list[str] = []
    report = take_snapshot(settings, progress=told.append)
    assert report.linked_partitions == 0
    assert any("0 of the last snapshot have none" in line for line in told)
    assert_rotated(settings, before, people)
    # The next night is a night like any other.
    report = take_snapshot(settings)
    assert report.linked_partitions == report.partitions
    assert persons(settings) == people
    assert token_map(settings).height > 0


def test_what_left_the_source_is_renamed_too(settings: Settings) -> None:
    """Its token comes from the vault; should a registration come back, its person is known."""
    people = persons(settings)
    before = (settings.lake / "current").resolve()
    forget(settings)
    rotate_tokens(settings)
    told: list[str] = []
    take_snapshot(settings, progress=told.append)
    assert any("0 of the last snapshot have none" in line for line in told)
    assert persons(settings) == people
    old = lake_tokens(before)
    assert set(old["token"]) <= set(token_map(settings)["old_token"])
    crosswalk = read_vault(current_vault(settings), CROSSWALK)
    assert set(crosswalk["registration_key"].str.head(1)) == {"b"}


def test_two_rotations_follow_one_another(settings: Settings) -> None:
    people = persons(settings)
    for epoch in "bcd":
        rotate_tokens(settings)
        take_snapshot(settings, full=epoch == "c")
        manifest = read_manifest((settings.lake / "current").resolve(), None)
        assert manifest.token_epoch == epoch
        assert set(lake_tokens(settings.lake / "current")["token"].str.head(1)) == {epoch}
    assert persons(settings) == people
    for name in snapshot_ids(settings.lake):
        verify_snapshot(settings, name)


def test_a_lake_of_two_epochs_is_not_built(settings: Settings) -> None:
    before = (settings.lake / "current").resolve()
    rotate_tokens(settings)
    take_snapshot(settings)
    visits = "ehr/ed_visits/2024-03.parquet"
    shutil.copy2(before / visits, settings.lake / "current" / visits)
    with pytest.raises(SnapshotError, match=f"{visits} has other content"):
        current_snapshot(settings)


def test_who_rotated_which_keys_is_in_the_log(settings: Settings) -> None:
    rotate_tokens(settings)
    rotate_master_key(settings)
    (log,) = read_logs(settings)
    found = [(entry.event, entry.outcome) for entry in log.entries if "rotate" in entry.event]
    assert found == [
        ("rotate_tokens", "begun"),
        ("rotate_tokens", "done"),
        ("rotate_key", "begun"),
        ("rotate_key", "done"),
    ]


def test_a_rotation_needs_a_snapshot_and_is_begun_once(tmp_path: Path) -> None:
    made = write_installation(tmp_path / "home", CONTENT)
    with pytest.raises(SnapshotError, match="There is no snapshot"):
        rotate_tokens(made)
    take_snapshot(made)
    rotate_tokens(made)
    with pytest.raises(SnapshotError, match="already waiting"):
        rotate_tokens(made)


def test_the_next_key_is_guarded(settings: Settings) -> None:
    rotate_tokens(settings)
    path = settings.vault / "token.next.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        take_snapshot(settings)


def test_a_lost_past_key_spoils_only_its_own_snapshots(settings: Settings) -> None:
    first = (settings.lake / "current").resolve().name
    rotate_tokens(settings)
    take_snapshot(settings)
    for path in settings.vault.glob("token.*.key"):
        path.unlink()
    verify_snapshot(settings)
    with pytest.raises(KeyFileError, match="another token key"):
        verify_snapshot(settings, first)


CHILD = """
import os, signal, sys
from pathlib import Path
from extract import snapshot
from extract.identity import epochs
from extract.reference import reference_table
from extract.snapshot import take_snapshot
from governance.settings import load_settings
point, left = sys.argv[2], int(sys.argv[3])
def counted(real):
    def call(*arguments, **named):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return real(*arguments, **named)
    return call
if point == "switch":
    snapshot.switch = counted(snapshot.switch)
if point == "map":
    os.replace = counted(os.replace)
if point == "end":
    real = snapshot.end_rotation
    def end(settings):
        for name in ("write_key", "_name"):
            setattr(epochs, name, counted(getattr(epochs, name)))
        os.replace = counted(os.replace)
        real(settings)
    snapshot.end_rotation = end
take_snapshot(load_settings(Path(sys.argv[1])))
"""


@pytest.mark.parametrize(
    ("point", "left"),
    [("map", 0), ("switch", 0), ("switch", 1), ("end", 0), ("end", 1), ("end", 2), ("end", 3)],
)
def test_a_killed_rotation_ends_with_the_next_night(
    settings: Settings, point: str, left: int
) -> None:
    before, people = (settings.lake / "current").resolve(), persons(settings)
    rotate_tokens(settings)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(settings.home), point, str(left)],
        cwd=PROJECT_ROOT,
        env=os.environ | {"PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    verify_snapshot(settings)
    assert "restore" not in describe_status(settings)
    take_snapshot(settings)
    assert not (settings.vault / "token.next.key").exists()
    maps = sorted((settings.restricted / "token_maps").iterdir())
    for path in maps[:-1]:
        path.unlink()
    assert_rotated(settings, before, people)
    report = take_snapshot(settings)
    assert report.linked_partitions == report.partitions
