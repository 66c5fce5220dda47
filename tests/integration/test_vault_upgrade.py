"""A vault from before it was encrypted, the keys of one in use, and both against a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from extract.identity.key_provider import load_provider
from extract.identity.keyring import KEYRING, read_keyring
from extract.identity.vault import CROSSWALK
from extract.identity.version import RECORD, open_version
from extract.snapshot import take_snapshot
from extract.verify import verify_snapshot
from governance.errors import KeyFileError, VaultError
from governance.settings import PROJECT_ROOT, Settings
from ops.cli.main import main
from tests.helpers.operational import write_installation
from tests.helpers.vault import current_vault, read_vault

pytestmark = pytest.mark.integration

PATIENTS = "ehr/patients/all.parquet"
CONTENT = {
    "ehr": {
        "hospitals": [{"hospital_id": "H1"}],
        "patients": [
            {"patient_id": n, "hospital_id": "H1", "first_name": f"Name{n}"} for n in range(1, 4)
        ],
    }
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = write_installation(tmp_path / "home", CONTENT)
    take_snapshot(made)
    take_snapshot(made)
    return made


@pytest.fixture
def plain(settings: Settings) -> Settings:
    """The same two nights as they were written before: plain, shared files hard links."""
    ring = read_keyring(settings.vault, load_provider(settings))
    written: dict[str, Path] = {}
    for directory in sorted((settings.vault / "versions").iterdir()):
        version = open_version(directory, ring)
        tables = {p: pa.Table.from_batches(version.batches(p)) for p in version.files}
        for path, sealed in version.files.items():
            (directory / path).unlink()
            if sealed.salt in written:
                os.link(written[sealed.salt], directory / path)
            else:
                pq.write_table(tables[path], directory / path)
            written[sealed.salt] = directory / path
        (directory / RECORD).unlink()
    (settings.vault / KEYRING).unlink()
    shutil.rmtree(settings.vault / "keys")
    return settings


def person_map(settings: Settings) -> pl.DataFrame:
    return pl.read_parquet(settings.lake / "current/identity/person_map/all.parquet")


def parquet_heads(settings: Settings) -> set[bytes]:
    return {path.read_bytes()[:4] for path in settings.vault.rglob("*.parquet")}


def assert_upgraded(settings: Settings, people: pl.DataFrame) -> None:
    assert parquet_heads(settings) == {b"PARE"}
    assert person_map(settings).equals(people)
    ring = read_keyring(settings.vault, load_provider(settings))
    assert ring.plain_versions == ()
    for directory in sorted((settings.vault / "versions").iterdir()):
        version = open_version(directory, ring)
        version.check_all()
        assert sorted(read_vault(version, PATIENTS)["first_name"]) == ["Name1", "Name2", "Name3"]
        assert read_vault(version, CROSSWALK).height == 3
        verify_snapshot(settings, directory.name)


def test_a_plain_vault_is_encrypted_and_keeps_its_persons(plain: Settings) -> None:
    people = person_map(plain)
    assert parquet_heads(plain) == {b"PAR1"}
    verify_snapshot(plain)
    told: list[str] = []
    report = take_snapshot(plain, progress=told.append)
    assert told[0] == (
        "vault: 2 versions from before it was encrypted are encrypted now; person ids stay as "
        "they are"
    )
    assert report.linked_partitions == report.partitions
    assert_upgraded(plain, people)
    first, second, third = sorted((plain.vault / "versions").iterdir())
    inodes = {(version / PATIENTS).stat().st_ino for version in (first, second, third)}
    assert len(inodes) == 1
    told.clear()
    take_snapshot(plain, progress=told.append)
    assert not any("encrypted" in line for line in told)


def test_a_plain_file_that_cannot_be_read_stops_the_upgrade(plain: Settings) -> None:
    file = plain.vault / "current" / CROSSWALK
    good = file.read_bytes()
    file.write_bytes(good[:100])
    people = person_map(plain)
    with pytest.raises(VaultError, match="cannot be read and so not be encrypted"):
        take_snapshot(plain)
    assert person_map(plain).equals(people)
    file.write_bytes(good)
    take_snapshot(plain)
    assert_upgraded(plain, people)


def test_a_plain_version_that_joins_a_begun_upgrade_is_left_out(plain: Settings) -> None:
    """Only what the keyring named when it was made is taken for a version of before."""
    people = person_map(plain)
    assert _child(plain.home, 10) != 0
    versions = plain.vault / "versions"
    last = max(path for path in versions.iterdir() if not path.name.startswith("."))
    planted = versions / "29991231T000000Z"
    shutil.copytree(last, planted)
    (planted / RECORD).unlink(missing_ok=True)
    take_snapshot(plain)
    assert not (planted / RECORD).exists()
    shutil.rmtree(planted)
    assert_upgraded(plain, people)


CHILD = """
import os, shutil, signal, sys
from pathlib import Path
from extract.identity.key_provider import load_provider
from extract.identity.opening import open_vault
from extract.zones import locked
from governance.settings import load_settings
left = int(sys.argv[2])
def counted(real):
    def call(*arguments, **named):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return real(*arguments, **named)
    return call
for name in ("replace", "rename", "link", "fsync"):
    setattr(os, name, counted(getattr(os, name)))
shutil.rmtree = counted(shutil.rmtree)
settings = load_settings(Path(sys.argv[1]))
with locked(settings):
    open_vault(settings.vault, load_provider(settings))
"""


def _child(home: Path, left: int) -> int:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(home), str(left)],
        cwd=PROJECT_ROOT,
        env=os.environ | {"PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.mark.parametrize("step", [3, 7])
def test_one_kill_after_another_is_mended(plain: Settings, step: int) -> None:
    """Killed again and again, each time a few calls later, until it has ended."""
    people = person_map(plain)
    versions = len(list((plain.vault / "versions").iterdir()))
    left = step
    while _child(plain.home, left) != 0:
        kept = list((plain.vault / "versions").iterdir())
        assert len({path.name.strip(".").split(".")[0] for path in kept}) == versions
        left += step
    assert left > step
    take_snapshot(plain)
    assert_upgraded(plain, people)


def test_one_kill_at_any_step_of_an_upgrade_is_mended(plain: Settings, tmp_path: Path) -> None:
    people = person_map(plain)
    killed = 0
    for left in range(0, 80, 4):
        home = tmp_path / f"copy{left}"
        subprocess.run(["cp", "-a", str(plain.home), str(home)], check=True)
        copy = replace(plain, home=home)
        if _child(home, left) == 0:
            break
        killed += 1
        take_snapshot(copy)
        assert_upgraded(copy, people)
    assert killed > 6


def test_a_new_master_key_from_the_command_line(settings: Settings) -> None:
    """The old key can be destroyed: all opens without it, nothing with it."""
    people = person_map(settings)
    before = {p: p.stat().st_ino for p in settings.vault.rglob("*.parquet")}
    (old,) = (settings.vault / "keys").iterdir()
    run = CliRunner().invoke(main, ["vault", "rotate-key", "--home", str(settings.home)])
    assert run.exit_code == 0, run.output
    assert f"no longer with {old.stem}" in run.output
    assert {p: p.stat().st_ino for p in settings.vault.rglob("*.parquet")} == before
    (new,) = (set((settings.vault / "keys").iterdir())) - {old}
    kept = old.read_bytes()
    old.unlink()
    for name in sorted(os.listdir(settings.lake)):
        if name[0].isdigit():
            verify_snapshot(settings, name)
    report = take_snapshot(settings)
    assert report.linked_partitions == report.partitions
    assert person_map(settings).equals(people)
    body = json.loads((settings.vault / "current" / RECORD).read_text())
    assert {file["data_key_id"] for file in body["files"].values()} == {
        body["data_key_id"],
        open_version(
            sorted((settings.vault / "versions").iterdir())[0],
            read_keyring(settings.vault, load_provider(settings)),
        )
        .files[PATIENTS]
        .data_key_id,
    }
    new.rename(settings.home / "aside")
    old.write_bytes(kept)
    old.chmod(0o600)
    with pytest.raises(KeyFileError, match="is missing"):
        take_snapshot(settings)
    new.write_bytes(kept)
    new.chmod(0o600)
    with pytest.raises(KeyFileError, match="holds another key"):
        current_vault(settings)


def test_without_a_keyring_there_is_nothing_to_rotate(tmp_path: Path) -> None:
    made = write_installation(tmp_path / "home", CONTENT)
    run = CliRunner().invoke(main, ["vault", "rotate-key", "--home", str(made.home)])
    assert run.exit_code == 1
    assert "has no keyring yet" in run.output


def test_a_vault_moves_from_files_to_a_service(settings: Settings, tmp_path: Path) -> None:
    people = person_map(settings)
    with (settings.home / "scutari.toml").open("a") as file:
        file.write(
            '[vault]\nkey_provider = "tests.helpers.vault:Service"\n'
            f'options = {{url = "{tmp_path}"}}\n'
        )
    home = ["--home", str(settings.home)]
    run = CliRunner().invoke(main, ["snapshot", *home])
    assert run.exit_code == 1
    assert "could not open the vault with the master key" in run.output
    keys = settings.vault / "keys"
    run = CliRunner().invoke(main, ["vault", "rotate-key", "--old-keys", str(keys), *home])
    assert run.exit_code == 0, run.output
    shutil.rmtree(keys)
    run = CliRunner().invoke(main, ["snapshot", *home])
    assert run.exit_code == 0, run.output
    assert person_map(settings).equals(people)


def test_an_installation_under_a_key_management_service(tmp_path: Path) -> None:
    made = write_installation(tmp_path / "home", CONTENT)
    with (made.home / "scutari.toml").open("a") as file:
        file.write(
            '[vault]\nkey_provider = "tests.helpers.vault:Service"\n'
            f'options = {{url = "{tmp_path}"}}\n'
        )
    run = CliRunner().invoke(main, ["snapshot", "--home", str(made.home)])
    assert run.exit_code == 0, run.output
    assert not (made.vault / "keys").exists()
    assert '"kms/1"' in (made.vault / KEYRING).read_text()
    for command in (["vault", "rotate-key"], ["verify"], ["snapshot"]):
        run = CliRunner().invoke(main, [*command, "--home", str(made.home)])
        assert run.exit_code == 0, run.output
    assert '"kms/2"' in (made.vault / KEYRING).read_text()
