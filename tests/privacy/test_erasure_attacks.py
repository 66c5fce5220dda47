"""Somebody looks for a person who was erased, where deleted things are usually found."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest
from click.testing import CliRunner

from extract.erasure import tombstones
from extract.identity.vault import CROSSWALK
from extract.lake import snapshot_ids
from extract.verify import verify_snapshot
from governance.errors import ErasureError, PublicationError
from governance.settings import Settings, load_settings
from ops.cli.main import main
from ops.publication.publish import publish
from ops.warehouse import current_snapshot
from tests.helpers.erased import Traces
from tests.helpers.vault import current_vault, read_vault

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def home(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the demo, with what killed runs and careless hands leave lying about."""
    copy = tmp_path_factory.mktemp("attacked") / "home"
    subprocess.run(["cp", "-a", str(demo_home), str(copy)], check=True)
    settings = load_settings(copy)
    snapshot = (settings.lake / "current").resolve()
    shutil.copytree(snapshot, settings.lake / f".{snapshot.name}.tmp")
    shutil.copytree(snapshot, settings.lake / f".{snapshot.name}.old")
    version = settings.vault / "versions" / snapshot.name
    shutil.copytree(version, version.with_name(f".{snapshot.name}.tmp"))
    shutil.copytree(snapshot / "ehr", settings.restricted / "spill" / "extract" / "ehr")
    shutil.copy(settings.warehouse, settings.warehouse.with_suffix(".duckdb.wal"))
    given = settings.release / "given"
    given.mkdir(parents=True)
    (given / "manifest.json").write_text("{}\n")
    # A hidden file of a publication that was cut off.
    shutil.copy(settings.warehouse, settings.published / ".20260101T000000Z.duckdb.tmp")
    return copy


@pytest.fixture(scope="module")
def victim(home: Path) -> dict[str, list[str]]:
    """The person with the most registrations: all that the vault and the lake know of them."""
    settings = load_settings(home)
    version = current_vault(settings)
    crosswalk = read_vault(version, CROSSWALK).drop_nulls("person_key")
    person = crosswalk["person_key"].value_counts(sort=True)["person_key"][0]
    own = crosswalk.filter(pl.col("person_key") == person)
    tokens = own["registration_key"].to_list()
    words: list[str] = [str(person), *tokens]
    patients = read_vault(version, "ehr/patients/all.parquet")
    is_own = pl.col("token").is_in(tokens)
    others = "\n".join(patients.filter(~is_own)["email"].drop_nulls())
    for row in patients.filter(is_own).to_dicts():
        found = [str(row[n]) for n in ("mrn", "health_number", "email") if row[n]]
        # 255@example.org stands in 1255@example.org, who stays.
        words += [word for word in found if word not in others]
    lake = (settings.lake / "current" / "ehr" / "ed_visits").resolve()
    visits = pl.concat([pl.read_parquet(f) for f in sorted(lake.glob("*.parquet"))])
    words += visits.filter(pl.col("patient_id").is_in(tokens))["visit_id"].to_list()
    assert len(tokens) > 1
    assert len(words) > len(tokens) + 3
    return {"words": words, "tokens": tokens}


@pytest.fixture(scope="module")
def backup(home: Path, victim: dict[str, list[str]]) -> Iterator[Path]:
    """The warehouse and its record as they were while the person was there."""
    assert victim
    folder = home.parent / "backup"
    folder.mkdir()
    for name in ("warehouse.duckdb", "warehouse.build.json"):
        shutil.copy2(home / name, folder / name)
    yield folder


@pytest.fixture(scope="module")
def erased(home: Path, victim: dict[str, list[str]], backup: Path) -> Settings:
    """The installation after the command, given what a clerk would give it."""
    settings = load_settings(home)
    assert _warehouse_has(backup / "warehouse.duckdb", victim["words"][0])
    paper = home.parent / "person"
    paper.write_text(victim["tokens"][0] + "\n")
    words = ["erase", "--home", str(home), "--person", str(paper), "--reason", "erasure_request"]
    told = CliRunner().invoke(main, [*words, "--dry-run"])
    assert told.exit_code == 0, told.output
    request = re.search(r"--confirm (\w+)", told.output)
    assert request is not None
    done = CliRunner().invoke(main, [*words, "--confirm", request[1], "--no-build"])
    assert done.exit_code == 0, done.output
    # A release that was given out is named, with the digest that its recipients can compare.
    assert "cannot be recalled" in done.output
    assert hashlib.sha256(b"{}\n").hexdigest() in done.output
    assert not any(word in done.output + told.output for word in victim["words"])
    return settings


def _warehouse_has(path: Path, person: str) -> bool:
    with duckdb.connect(str(path), read_only=True) as connection:
        query = "select count(*) from core.dim_patients where person_key = $1"
        return connection.execute(query, [person]).fetchall() == [(1,)]


def test_nothing_is_found_in_any_file(erased: Settings, victim: dict[str, list[str]]) -> None:
    """In names, bytes, values, statistics; in what is hidden, and in what was encrypted."""
    assert Traces(frozenset(victim["words"])).found_in(erased) == []
    for name in snapshot_ids(erased.lake):
        verify_snapshot(erased, name)


def test_no_database_file_is_left_whose_free_blocks_could_be_read(erased: Settings) -> None:
    # The network's newest file alone: protected counts, whose bytes the search above went through.
    network = erased.published / "current.duckdb"
    left = {p for p in erased.home.rglob("*") if ".duckdb" in p.name}
    # What was given out stays, and the receipt names it.
    left = {p for p in left if not p.is_relative_to(erased.release)}
    assert left == {network, network.resolve()}


def test_no_old_link_keeps_a_file(erased: Settings) -> None:
    """Every link that a file has is one that a manifest or a record knows."""
    for zone in (erased.lake, erased.vault / "versions"):
        found: dict[int, int] = {}
        for path in zone.rglob("*.parquet"):
            found[path.stat().st_ino] = found.get(path.stat().st_ino, 0) + 1
            assert not any(part.startswith(".") for part in path.relative_to(zone).parts)
        for path in zone.rglob("*.parquet"):
            assert path.stat().st_nlink == found[path.stat().st_ino]


def test_a_tombstone_cannot_be_tried_out(erased: Settings, victim: dict[str, list[str]]) -> None:
    """Whoever reads the tombstones, but not the vault, tries every record number and token."""
    text = (erased.home / "tombstones" / "log.jsonl").read_text()
    marks = set(re.findall(r"[0-9a-f]{20}", text))
    assert marks
    guesses = [*victim["words"], *(str(n) for n in range(20_000))]
    for domain in ("", "ehr.patient", "source ehr.patient", "token ehr.patient"):
        for guess in guesses:
            for digest in (hashlib.sha256, hashlib.md5):
                made = digest(f"{domain}{guess}".encode()).hexdigest()
                assert made[:20] not in marks
                assert made[:19] not in {mark[1:] for mark in marks}
    assert not marks & set(victim["words"])


def test_a_warehouse_that_is_put_back_is_not_published(erased: Settings, backup: Path) -> None:
    for name in ("warehouse.duckdb", "warehouse.build.json"):
        shutil.copy2(backup / name, erased.home / name)
    with pytest.raises(PublicationError, match="built before a person was erased"):
        publish(erased)
    for name in ("warehouse.duckdb", "warehouse.build.json"):
        (erased.home / name).unlink()


def test_a_cut_off_erasure_opens_nothing(erased: Settings) -> None:
    tombstones.begin(erased)
    with pytest.raises(ErasureError, match="was cut off"):
        current_snapshot(erased)
    tombstones.end(erased)


def test_the_receipt_and_the_log_name_nobody(
    erased: Settings, victim: dict[str, list[str]]
) -> None:
    (receipt,) = (erased.restricted / "erasures").glob("*.json")
    assert receipt.stat().st_mode & 0o077 == 0
    body = json.loads(receipt.read_text())
    assert body["reason"] == "erasure_request"
    assert sum(body["rows"].values()) > 0
    assert any("backups" in place for place in body["elsewhere"])
    entries = "".join(log.read_text() for log in erased.audit.rglob("log.jsonl"))
    assert '"erase"' in entries
    assert not any(word in entries for word in victim["words"])


def test_a_person_does_not_stand_on_the_command_line(
    erased: Settings, victim: dict[str, list[str]]
) -> None:
    """The process list and the shell's history are read by others."""
    token = victim["tokens"][0]
    words = ["erase", "--home", str(erased.home), "--reason", "erasure_request"]
    run = CliRunner().invoke(main, [*words, "--person", token])
    assert run.exit_code == 2
    again = CliRunner().invoke(main, [*words, "--person", "-", "--dry-run"], input=token)
    assert again.exit_code == 1
    assert "Nobody in the vault" in again.output
    assert token not in again.output
    assert os.listdir(erased.home / "tombstones") == ["log.jsonl"]
