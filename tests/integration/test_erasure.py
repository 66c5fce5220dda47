"""A person is erased everywhere, stays away, and nobody else loses a byte."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from extract import snapshot
from extract.erasure import tombstones
from extract.erasure.erase import ErasureReport, erase, erase_again, plan_erasure
from extract.lake import read_manifest, sha256_of, snapshot_ids
from extract.rotation import rotate_tokens
from extract.snapshot import take_snapshot
from extract.verify import verify_snapshot
from governance.errors import ErasureError
from governance.settings import PROJECT_ROOT, Settings, load_settings
from ops.warehouse import current_snapshot
from tests.helpers.erased import (
    CONTENT,
    HERS,
    MARIA,
    PIET,
    Traces,
    change,
    her_token,
    lake_rows,
    traces,
)
from tests.helpers.operational import write_installation

pytestmark = pytest.mark.integration
REASON = "erasure_request"
LISTS = {"icd10cm": pa.table({"code": ["I214"]})}


@pytest.fixture(scope="module", autouse=True)
def lists(contracts_read_once: pytest.MonkeyPatch) -> None:
    contracts_read_once.setattr(snapshot, "reference_table_apart", lambda name: LISTS[name])


@cache
def _template(folder: Path) -> Path:
    """An installation of four nights and two epochs of tokens."""
    home = folder / "home"
    made = write_installation(home, CONTENT)
    take_snapshot(made)
    # A diagnosis that only the older snapshot has the visit of.
    change(made, "delete from ed_visits where visit_id = 81010002")
    take_snapshot(made)
    rotate_tokens(made)
    take_snapshot(made)
    take_snapshot(made)
    return home


@pytest.fixture
def settings(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path / "home"
    # Links are kept, as a backup program would keep them.
    template = _template(_base(tmp_path_factory))
    subprocess.run(["cp", "-a", str(template), str(home)], check=True)
    return load_settings(home)


_BASES: list[Path] = []


def _base(factory: pytest.TempPathFactory) -> Path:
    if not _BASES:
        _BASES.append(factory.mktemp("erasure"))
    return _BASES[0]


def erase_maria(settings: Settings) -> ErasureReport:
    named = her_token(settings)
    plan = plan_erasure(settings, named, REASON)
    report = erase(settings, named, REASON, plan.request)
    tombstones.end(settings)
    return report


def assert_gone(settings: Settings, searched: Traces) -> None:
    assert searched.found_in(settings) == []
    for name in snapshot_ids(settings.lake):
        verify_snapshot(settings, name)
    assert current_snapshot(settings)


def others(settings: Settings, name: str) -> dict[str, pl.DataFrame]:
    """Every table of a snapshot, in the order of its files."""
    return {table: lake_rows(settings, table, name) for table in HERS}


def test_nothing_of_her_is_left_and_nobody_else_loses_a_byte(settings: Settings) -> None:
    searched, names = traces(settings), snapshot_ids(settings.lake)
    found = searched.found_in(settings)  # the search finds her while she is there
    for zone in ("lake/", "vault/", "restricted/quarantine", "restricted/token_maps"):
        assert any(place.startswith(zone) for place in found), zone
    before = {name: others(settings, name) for name in names}
    files = {p: p.stat() for p in sorted(settings.lake.rglob("*.parquet"))}
    digests = {p: sha256_of(p) for p in files}
    listed = settings.restricted / "matching" / names[-1] / "review.csv"
    listed.parent.mkdir(parents=True, exist_ok=True)
    hers = her_token(settings)
    listed.write_text(f"one,other,weight\n{hers},{'b' * 20},3\n{'c' * 20},{'d' * 20},3\n")
    report = erase_maria(settings)
    assert_gone(settings, searched)
    assert listed.read_text() == f"one,other,weight\n{'c' * 20},{'d' * 20},3\n"
    for name in names:
        after = others(settings, name)
        for table, (_, left) in HERS.items():
            old = before[name][table]
            key = old.columns[0]
            assert after[table].schema == old.schema
            kept = old.filter(pl.col(key).is_in(after[table][key].implode()))
            if table == "ehr.inpatient_encounters":
                # Noah's stay no longer says whose visit it came from.
                kept = kept.with_columns(pl.lit(None, pl.String).alias("ed_visit_id"))
            assert after[table].equals(kept), table
            assert after[table].height == left, table
    untouched = [p for p in files if "hospitals" in p.parts or "quality" not in p.parts]
    same = [p for p in untouched if sha256_of(p) == digests[p]]
    assert all(p.stat().st_ino == files[p].st_ino for p in same)
    assert any("providers" in p.parts for p in same)
    assert report.rows == {name: n for name, (n, _) in HERS.items() if name != "ehr.ed_visits"} | {
        "ehr.ed_visits": 3  # the fourth had left the source before the newest snapshot
    }


def test_shared_files_stay_shared(settings: Settings) -> None:
    first, second, *_ = snapshot_ids(settings.lake)
    path = "ehr/patients/all.parquet"
    assert (settings.lake / first / path).samefile(settings.lake / second / path)
    erase_maria(settings)
    for zone in (settings.lake, settings.vault / "versions"):
        assert (zone / first / path).samefile(zone / second / path)
        # The old file is nowhere any more.
        assert (zone / second / path).stat().st_nlink == 2


def test_the_dry_run_counts_and_changes_nothing(settings: Settings) -> None:
    before = {p: sha256_of(p) for p in sorted(settings.home.rglob("*")) if p.is_file()}
    plan = plan_erasure(settings, her_token(settings), REASON)
    assert plan.registrations == 3
    assert plan.rows == {name: n for name, (n, _) in HERS.items()} | {"ehr.ed_visits": 3}
    assert plan.snapshots == 4
    after = {p: sha256_of(p) for p in sorted(settings.home.rglob("*")) if p.is_file()}
    assert after == before


def test_the_request_is_for_this_person_and_this_state(settings: Settings) -> None:
    named = her_token(settings)
    plan = plan_erasure(settings, named, REASON)
    with pytest.raises(ErasureError, match="does not name what is there now"):
        erase(settings, named, "court_order", plan.request)
    take_snapshot(settings)
    with pytest.raises(ErasureError, match="does not name what is there now"):
        erase(settings, named, REASON, plan.request)
    assert tombstones.read_tombstones(settings) is None
    with pytest.raises(ErasureError, match="Nobody in the vault"):
        plan_erasure(settings, "a" * 20, REASON)


def test_an_amended_snapshot_says_so_and_still_adds_up(settings: Settings) -> None:
    erase_maria(settings)
    told = str(verify_snapshot(settings))
    assert "amended by an erasure" in told
    assert REASON in told
    for name in snapshot_ids(settings.lake):
        rows = lake_rows(settings, "quality.reconciliation", name)
        counted = rows.drop_nulls("source_count")
        total = counted["lake_count"] + counted["quarantined_count"] + counted["erased_count"]
        assert (total == counted["source_count"]).all()
        by_table = rows.filter(pl.col("check_code") == "row_count")
        key = by_table["source_name"] + "." + by_table["table_name"]
        counts = dict(zip(key, by_table["erased_count"], strict=True))
        assert counts["ehr.ed_visit_diagnoses"] == 3
        assert counts["billing.remittance_adjustments"] == 1
        quarantined = lake_rows(settings, "quality.quarantine", name)
        assert quarantined["row_count"].sum() == 1  # Piet's words


def test_the_next_night_reads_nothing_and_brings_nobody_back(settings: Settings) -> None:
    searched = traces(settings)
    erase_maria(settings)
    report = take_snapshot(settings)
    assert report.linked_partitions == report.partitions
    assert_gone(settings, searched)
    full = take_snapshot(settings, full=True)
    assert full.linked_partitions == 0
    assert all(check.is_equal for check in full.checks)
    assert_gone(settings, searched)
    counts = {
        f"{c.source_name}.{c.table_name}": c.erased_count
        for c in full.checks
        if c.check_code == "row_count"
    }
    assert {k: v for k, v in counts.items() if v} == {name: n for name, (n, _) in HERS.items()} | {
        "ehr.ed_visits": 3
    }


def test_what_she_does_after_the_erasure_is_not_kept_either(settings: Settings) -> None:
    searched = traces(settings)
    erase_maria(settings)
    columns = "visit_id, hospital_id, patient_id, arrived_at, created_at, updated_at"
    moment = "'2024-06-01T08:00:00+00:00'"
    change(
        settings,
        f"insert into ed_visits ({columns}) values "
        f"(81010009, 'H1', {MARIA}, {moment}, {moment}, {moment})",
    )
    change(
        settings,
        "insert into ed_visit_diagnoses (diagnosis_id, visit_id, sequence_number, recorded_at, "
        f"diagnosis_code, created_at, updated_at) values (83010009, 81010009, 1, {moment}, 'I214', "
        f"{moment}, {moment})",
    )
    more = Traces(searched.words | {"81010009", "83010009"})
    report = take_snapshot(settings)
    assert_gone(settings, more)
    assert lake_rows(settings, "ehr.ed_visit_diagnoses").height == 1
    row = next(
        c
        for c in report.checks
        if (c.table_name, c.check_code) == ("ed_visit_diagnoses", "row_count")
    )
    assert (row.source_count, row.lake_count, row.quarantined_count, row.erased_count) == (
        5,
        1,
        0,
        4,
    )


def test_a_visit_that_was_never_hers_comes_back_with_its_diagnoses(settings: Settings) -> None:
    """A correction gives her visit to Piet: the diagnosis has not changed, but whose it is has."""
    erase_maria(settings)
    change(
        settings,
        f"update ed_visits set patient_id = {PIET}, updated_at = '2024-07-01T00:00:00+00:00' "
        "where visit_id = 81010001",
    )
    take_snapshot(settings)
    assert lake_rows(settings, "ehr.ed_visits").height == 3
    assert lake_rows(settings, "ehr.ed_visit_diagnoses").height == 2
    # Noah's stay refers to a visit that is there again.
    assert lake_rows(settings, "ehr.inpatient_encounters")["ed_visit_id"].null_count() == 0


def test_new_tokens_do_not_bring_her_back(settings: Settings) -> None:
    searched = traces(settings)
    erase_maria(settings)
    rotate_tokens(settings)
    take_snapshot(settings)
    both = Traces(searched.words | traces(settings).words)
    assert_gone(settings, both)


def restore(settings: Settings, backup: Path, zones: tuple[str, ...]) -> None:
    for zone in zones:
        shutil.rmtree(settings.home / zone)
        subprocess.run(["cp", "-a", str(backup / zone), str(settings.home / zone)], check=True)
    # A backup of the vault is older than the key that marks: it is kept apart, as the docs say.


@pytest.mark.parametrize("zones", [("lake",), ("restricted",), ("lake", "vault", "restricted")])
def test_a_restore_is_refused_until_she_is_erased_again(
    settings: Settings, tmp_path: Path, zones: tuple[str, ...]
) -> None:
    searched = traces(settings)
    tombstones.marker_of(settings)  # so that the backup has its key
    backup = tmp_path / "backup"
    subprocess.run(["cp", "-a", str(settings.home), str(backup)], check=True)
    erase_maria(settings)
    restore(settings, backup, zones)
    assert searched.found_in(settings) != []
    with pytest.raises(ErasureError, match="erase --again"):
        take_snapshot(settings)
    if "lake" in zones:
        with pytest.raises(ErasureError, match="erase --again"):
            current_snapshot(settings)
    erase_again(settings)
    tombstones.end(settings)
    assert_gone(settings, searched)
    report = take_snapshot(settings)
    # A lake put back without its quarantine has counts that nobody can mend: it is read again.
    assert (report.linked_partitions == report.partitions) == (zones != ("lake",))
    assert (report.quarantined_rows, report.quarantined_values) == (0, 1)
    assert_gone(settings, searched)


def test_older_tombstones_do_not_pass(settings: Settings) -> None:
    erase_maria(settings)
    (settings.home / "tombstones" / "log.jsonl").unlink()
    with pytest.raises(ErasureError, match="put the newest copy"):
        take_snapshot(settings)
    with pytest.raises(ErasureError, match="put the newest copy"):
        current_snapshot(settings)
    with pytest.raises(ErasureError, match="put the newest copy"):
        erase_again(settings)


def test_an_edited_tombstone_is_not_believed(settings: Settings) -> None:
    erase_maria(settings)
    path = settings.home / "tombstones" / "log.jsonl"
    path.write_text(path.read_text().replace('"number": 1', '"number": 2'))
    with pytest.raises(ErasureError):
        take_snapshot(settings)
    with pytest.raises(ErasureError, match="is not as it was written"):
        tombstones.read_tombstones(settings)


def test_two_erasures_add_up(settings: Settings) -> None:
    searched = traces(settings)
    erase_maria(settings)
    named = str(lake_rows(settings, "ehr.ed_visits")["patient_id"][0])
    plan = plan_erasure(settings, named, "court_order")
    erase(settings, named, "court_order", plan.request)
    tombstones.end(settings)
    assert_gone(settings, searched)
    manifest = read_manifest((settings.lake / "current").resolve(), None)
    assert manifest.amended is not None
    assert manifest.amended.erasures == 2
    assert manifest.amended.reasons == ("court_order", "erasure_request")
    report = take_snapshot(settings)
    assert report.linked_partitions == report.partitions
    assert lake_rows(settings, "ehr.ed_visits").height == 0
    assert all(check.is_equal for check in take_snapshot(settings, full=True).checks)


CHILD = """
import os, signal, sys
from pathlib import Path
from extract.erasure import amend, erase, tombstones, vault
from governance import files
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
if point == "swap":
    real = amend.replace_directory
    amend.replace_directory = counted(real)
if point == "removal":
    files.shutil.rmtree = counted(files.shutil.rmtree)
if point == "sync":
    amend.sync = counted(amend.sync)
if point == "manifest":
    amend.write_manifest = counted(amend.write_manifest)
if point == "replace":
    os.replace = counted(os.replace)
settings = load_settings(Path(sys.argv[1]))
erase.erase(settings, sys.argv[4], "erasure_request", sys.argv[5])
tombstones.end(settings)
"""
KILLS = [("replace", 1), ("swap", 1), ("swap", 2), ("removal", 1)]


@pytest.mark.parametrize(("point", "left"), KILLS)
def test_a_killed_erasure_is_finished(settings: Settings, point: str, left: int) -> None:
    searched = traces(settings)
    named = her_token(settings)
    request = plan_erasure(settings, named, REASON).request
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(settings.home), point, str(left), named, request],
        cwd=PROJECT_ROOT,
        env=os.environ | {"PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    # Each snapshot is whole, as it was or amended.
    for name in snapshot_ids(settings.lake):
        verify_snapshot(settings, name)
    if tombstones.read_tombstones(settings) is None:
        erase_maria(settings)  # killed before anything was decided
    else:
        with pytest.raises(ErasureError, match="erase --again"):
            take_snapshot(settings)
        erase_again(settings)
        tombstones.end(settings)
    assert_gone(settings, searched)
    assert [p for p in settings.home.rglob(".*.tmp")] == []
    report = take_snapshot(settings)
    assert report.linked_partitions == report.partitions
    assert_gone(settings, searched)
