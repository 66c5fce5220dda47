"""Somebody who can write into the vault but has no key: nothing is read, nothing passes unnoticed.

Each attack is made on a vault of three nights whose last changed one month of visits and one name.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from extract.identity.key_provider import load_provider
from extract.identity.keyring import KEYRING, read_keyring
from extract.identity.vault import CROSSWALK
from extract.identity.version import RECORD, Version, open_version
from extract.lake import sha256_of
from extract.snapshot import take_snapshot
from extract.verify import verify_snapshot
from governance.errors import KeyFileError, VaultError
from governance.settings import Settings
from tests.helpers.operational import write_installation
from tests.helpers.vault import current_vault, flip, read_vault

pytestmark = pytest.mark.integration

MARCH, APRIL = datetime(2024, 3, 5, 8, tzinfo=UTC), datetime(2024, 4, 5, 8, tzinfo=UTC)
PATIENTS = "ehr/patients/all.parquet"
MARCH_VISITS, APRIL_VISITS = "ehr/ed_visits/2024-03.parquet", "ehr/ed_visits/2024-04.parquet"
PLANTED = ["Zaphira", "Quillfeather", "HN5558887771", "zaphira@example.org", "VN-MARCH-771"]
KEYS = ["710017100171", "710027100272", "810018100181", "810028100282"]
CONTENT: dict[str, dict[str, list[dict[str, Any]]]] = {
    "ehr": {
        "hospitals": [{"hospital_id": "H1"}],
        "feeds": [{"hospital_id": "H1", "data_through_at": APRIL}],
        "patients": [
            {
                "patient_id": 710_017_100_171,
                "hospital_id": "H1",
                "first_name": PLANTED[0],
                "last_name": PLANTED[1],
                "health_number": PLANTED[2],
                "email": PLANTED[3],
            },
            {"patient_id": 710_027_100_272, "hospital_id": "H1"},
        ],
        "ed_visits": [
            {
                "visit_id": 810_018_100_181,
                "hospital_id": "H1",
                "patient_id": 710_017_100_171,
                "arrived_at": MARCH,
                "visit_number": PLANTED[4],
            },
            {
                "visit_id": 810_028_100_282,
                "hospital_id": "H1",
                "patient_id": 710_027_100_272,
                "arrived_at": APRIL,
            },
        ],
    },
}


def change(settings: Settings, statement: str) -> None:
    path = settings.home / "sources" / "ehr.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


@pytest.fixture(scope="module")
def three_nights(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = write_installation(tmp_path_factory.mktemp("home"), CONTENT)
    take_snapshot(settings)
    change(settings, "update patients set first_name = 'Another', updated_at = '2024-07-01'")
    for day in (2, 3):
        moment = f"2024-07-0{day}T00:00:00+00:00"
        change(
            settings,
            f"update ed_visits set visit_number = 'VN-{day}', updated_at = '{moment}' "
            "where visit_id = 810018100181",
        )
        change(settings, f"update patients set updated_at = '{moment}'")
        take_snapshot(settings)
    return settings


@pytest.fixture
def settings(three_nights: Settings, tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    shutil.copytree(three_nights.home, home, symlinks=True)
    return replace(
        three_nights,
        home=home,
        sources={
            name: replace(source, path=home / (source.path or home).relative_to(three_nights.home))
            for name, source in three_nights.sources.items()
        },
    )


def versions(settings: Settings) -> list[Path]:
    return sorted((settings.vault / "versions").iterdir())


def current(settings: Settings) -> Path:
    return (settings.vault / "current").resolve()


def state(settings: Settings) -> dict[str, str]:
    """Every file of the installation by digest, and every link; the audit log goes on growing."""
    found = {}
    for path in sorted(settings.home.rglob("*")):
        name = str(path.relative_to(settings.home))
        if path.is_relative_to(settings.audit):
            continue
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def refused(settings: Settings, error: type[Exception] = VaultError) -> str:
    """The one sentence of the next night, which leaves everything as it was."""
    before = state(settings)
    with pytest.raises(error) as caught:
        take_snapshot(settings)
    assert state(settings) == before
    told = str(caught.value)
    assert "\n" not in told
    assert "backup" in told
    assert not any(word in told for word in PLANTED + KEYS)
    return told


def put(source: Path, target: Path) -> None:
    """Replace a file without touching what else its hard link is."""
    data = source.read_bytes()
    target.unlink()
    target.write_bytes(data)


def test_no_byte_of_the_vault_tells_a_name(settings: Settings) -> None:
    """Neither a name nor a key, in any file, by bytes or by any reader without the key."""
    words = [word.encode() for word in PLANTED + KEYS]
    looked_at = 0
    for path in settings.vault.rglob("*"):
        if not path.is_file():
            continue
        data = path.read_bytes()
        assert not any(word in data for word in words), path
        if path.suffix == ".parquet":
            assert data[:4] == data[-4:] == b"PARE"  # footer encrypted, too
            for read in (pq.read_table, pl.read_parquet, _read_with_duckdb):
                with pytest.raises(
                    (OSError, pa.ArrowException, pl.exceptions.PolarsError, duckdb.Error)
                ):
                    read(path)  # type: ignore[operator]
            looked_at += 1
    assert looked_at == 12  # of three nights; linked ones count again
    patients = read_vault(open_version(versions(settings)[0], _ring(settings)), PATIENTS)
    assert PLANTED[0] in patients["first_name"].to_list()


def _read_with_duckdb(path: Path) -> Any:
    return duckdb.execute("select * from read_parquet($1)", [str(path)]).fetchall()


def _ring(settings: Settings) -> Any:
    return read_keyring(settings.vault, load_provider(settings))


def test_no_name_lies_in_plain_text_at_any_moment(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked for whenever a file is synced or a directory renamed, outside the restricted zone."""
    words = [word.encode() for word in ["Another", *PLANTED[1:4], "VN-3"]]
    looked = 0

    def look() -> None:
        nonlocal looked
        for zone in (settings.vault, settings.lake):
            for path in zone.rglob("*"):
                if path.is_file() and zone == settings.vault and path.suffix == ".parquet":
                    assert path.read_bytes()[:4] in (b"PARE", b""), path
                if path.is_file():
                    assert not any(word in path.read_bytes() for word in words), path
        looked += 1

    real = os.fsync

    def fsync(handle: int) -> None:
        look()
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    take_snapshot(settings, full=True)
    assert looked > 20


def test_every_file_has_a_key_of_its_own(three_nights: Settings) -> None:
    """A salt stands twice only where two versions share one file."""
    files: dict[str, set[int]] = {}
    for version in versions(three_nights):
        for path, sealed in open_version(version, _ring(three_nights)).files.items():
            files.setdefault(sealed.salt, set()).add((version / path).stat().st_ino)
            data = (version / path).read_bytes()
            assert f"{path}|{sealed.data_key_id}|{sealed.salt}".encode() in data
    assert len(files) == 10  # April's visits and the providers are linked twice
    assert all(len(inodes) == 1 for inodes in files.values())


FILES = [PATIENTS, MARCH_VISITS, CROSSWALK]


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("where", [0, 3, 4, 0.3, 0.6, -5, -1])
def test_a_flipped_bit_is_refused(settings: Settings, path: str, where: float) -> None:
    file = current(settings) / path
    size = file.stat().st_size
    flip(file, int(where * size) if isinstance(where, float) else where % size)
    assert "it has other content" in refused(settings)
    with pytest.raises(VaultError, match="is not the one that was written there"):
        verify_snapshot(settings)


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("left", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(settings: Settings, path: str, left: int) -> None:
    file = current(settings) / path
    data = file.read_bytes()
    file.unlink()
    file.write_bytes(data[:left])
    assert "it has another size" in refused(settings)


@pytest.mark.parametrize("path", FILES)
def test_a_missing_file_is_refused(settings: Settings, path: str) -> None:
    (current(settings) / path).unlink()
    assert "it is missing" in refused(settings)


@pytest.mark.parametrize("path", FILES)
def test_a_link_to_the_true_file_is_refused(settings: Settings, path: str) -> None:
    file = current(settings) / path
    file.rename(settings.home / "elsewhere")
    file.symlink_to(settings.home / "elsewhere")
    assert "it is missing" in refused(settings)


@pytest.mark.parametrize(
    ("other", "path"),
    [
        (APRIL_VISITS, MARCH_VISITS),
        (PATIENTS, MARCH_VISITS),
        (MARCH_VISITS, PATIENTS),
        (PATIENTS, CROSSWALK),
    ],
)
def test_a_file_of_another_place_is_refused(settings: Settings, other: str, path: str) -> None:
    put(current(settings) / other, current(settings) / path)
    assert f"{path} is not the one that was written there" in refused(settings)


@pytest.mark.parametrize("path", FILES)
def test_an_older_file_of_the_same_place_is_refused(settings: Settings, path: str) -> None:
    older = versions(settings)[0] / path
    assert sha256_of(older) != sha256_of(current(settings) / path)
    put(older, current(settings) / path)
    assert f"{path} is not the one that was written there" in refused(settings)


@pytest.mark.parametrize("path", [APRIL_VISITS, PATIENTS])
def test_the_key_itself_knows_the_place(settings: Settings, path: str) -> None:
    """Even a record that says it of another place (which takes a key to sign) opens nothing."""
    version = current_vault(settings)
    file = version.directory / MARCH_VISITS
    put(version.directory / path, file)
    lying = Version(version.directory, version.keyring, {MARCH_VISITS: version.files[path]})
    with pytest.raises(VaultError, match="no key of the vault opens it here"):
        list(lying.batches(MARCH_VISITS))
    older = open_version(versions(settings)[0], version.keyring)
    put(older.directory / MARCH_VISITS, file)
    mixed = replace(
        version.files[MARCH_VISITS],
        bytes=file.stat().st_size,
        sha256=sha256_of(file),
    )
    with pytest.raises(VaultError, match="no key of the vault opens it here"):
        list(
            Version(version.directory, version.keyring, {MARCH_VISITS: mixed}).batches(MARCH_VISITS)
        )


@pytest.mark.parametrize("path", [PATIENTS, CROSSWALK])
def test_a_forged_plain_file_is_refused(settings: Settings, path: str) -> None:
    file = current(settings) / path
    table = pa.Table.from_batches(current_vault(settings).batches(path))
    file.unlink()
    pq.write_table(table, file)
    refused(settings)


def test_a_whole_older_version_in_the_place_of_the_last_is_refused(settings: Settings) -> None:
    older, last = versions(settings)[0], current(settings)
    shutil.rmtree(last)
    shutil.copytree(older, last)
    assert f"record {last / RECORD} is not as it was written" in refused(settings)


def test_an_older_version_in_force_is_refused(settings: Settings) -> None:
    link = settings.vault / "current"
    link.unlink()
    link.symlink_to(f"versions/{versions(settings)[0].name}")
    assert "persons would get other ids" in refused(settings)
    link.unlink()
    assert "is missing, though the lake is at" in refused(settings)


def _edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    body = json.loads(path.read_text())
    change(body)
    path.write_text(json.dumps(body))


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body["files"].pop(PATIENTS),
        lambda body: body["files"][PATIENTS].update(sha256="0" * 64),
        lambda body: body.update(signature="é"),
        lambda body: body.update(data_key_id="0" * 16),
        lambda body: body.pop("files"),
        lambda body: body.update(format=2),
    ],
)
def test_an_edited_record_is_refused(
    settings: Settings, change: Callable[[dict[str, Any]], None]
) -> None:
    _edit(current(settings) / RECORD, change)
    assert "is not as it was written" in refused(settings)


def test_a_version_without_its_record_is_no_plain_version(settings: Settings) -> None:
    """An attacker cannot make the vault take in what is said to be from before encryption."""
    version = current(settings)
    table = pa.Table.from_batches(current_vault(settings).batches(CROSSWALK))
    (version / RECORD).unlink()
    (version / CROSSWALK).unlink()
    pq.write_table(table, version / CROSSWALK)
    assert "has no record" in refused(settings)
    _edit(settings.vault / KEYRING, lambda body: body.update(plain_versions=[version.name]))
    assert "is not as it was written" in refused(settings, KeyFileError)
    (settings.vault / KEYRING).unlink()
    assert "is missing" in refused(settings, KeyFileError)


def test_what_was_put_beside_is_found(settings: Settings) -> None:
    (current(settings) / "ehr" / "copy.csv").write_text("x")
    with pytest.raises(VaultError, match=r"copy.csv .*the version's record does not name it"):
        verify_snapshot(settings)


def _key_file(settings: Settings) -> Path:
    (key,) = (settings.vault / "keys").glob("*.key")
    return key


def test_a_wrong_master_key_is_refused(settings: Settings) -> None:
    key = _key_file(settings)
    assert key.stat().st_mode & 0o777 == 0o600
    key.write_bytes(bytes(32))
    assert "holds another key" in refused(settings, KeyFileError)
    key.write_bytes(b"short")
    assert "5 bytes instead of 32" in refused(settings, KeyFileError)
    key.unlink()
    assert f"master key {key} is missing" in refused(settings, KeyFileError)
    with pytest.raises(KeyFileError):
        verify_snapshot(settings)


def test_a_master_key_that_others_can_read_is_refused(settings: Settings) -> None:
    _key_file(settings).chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        take_snapshot(settings)


def test_the_keyring_of_another_installation_opens_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    other = write_installation(tmp_path / "other", CONTENT)
    take_snapshot(other)
    shutil.rmtree(settings.vault / "keys")
    shutil.copytree(other.vault / "keys", settings.vault / "keys")
    assert "is missing" in refused(settings, KeyFileError)
    shutil.copy2(other.vault / KEYRING, settings.vault / KEYRING)
    assert "is not as it was written" in refused(settings)


def test_a_full_snapshot_mends_a_spoiled_identifier_file(settings: Settings) -> None:
    """As the refusal says: all but the crosswalk can be read from the source again."""
    people = pl.read_parquet(settings.lake / "current/identity/person_map/all.parquet")
    flip(current(settings) / PATIENTS, 200)
    assert "--full" in refused(settings)
    take_snapshot(settings, full=True)
    verify_snapshot(settings)
    same = pl.read_parquet(settings.lake / "current/identity/person_map/all.parquet")
    assert same.equals(people)
