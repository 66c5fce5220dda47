"""Rows that are older than their table's policy leave every snapshot and do not come back."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from extract import retention, snapshot
from extract.erasure import tombstones
from extract.erasure.erase import erase, plan_erasure
from extract.expiry import amend, source
from extract.identity.epochs import key_of_snapshot
from extract.identity.tokens import Tokeniser
from extract.identity.vault import CROSSWALK
from extract.lake import read_manifest, snapshot_ids
from extract.report import SnapshotReport
from extract.retention import expired, retain
from extract.rotation import rotate_tokens
from extract.snapshot import take_snapshot
from extract.verify import verify_snapshot
from governance.errors import ErasureError, SettingsError
from governance.settings import RetentionSettings, Settings, TableRetention, load_settings
from tests.helpers.aged import (
    ANNA,
    CONTENT,
    COUNTS,
    FIRST,
    GONE,
    LATE,
    NOW,
    OLD_CLAIM,
    POLICY,
    UNDATED,
)
from tests.helpers.erased import change, contents, lake_rows
from tests.helpers.operational import write_installation
from tests.helpers.vault import current_vault, read_vault

pytestmark = pytest.mark.integration
LISTS = {"icd10cm": pa.table({"code": ["I214"]})}
KEYS = {
    "ehr.ed_visits": "ehr.ed_visit",
    "ehr.ed_visit_diagnoses": "ehr.ed_visit_diagnosis",
    "billing.claims": "billing.claim",
}


@pytest.fixture(scope="module", autouse=True)
def lists(contracts_read_once: pytest.MonkeyPatch) -> None:
    contracts_read_once.setattr(snapshot, "reference_table_apart", lambda name: LISTS[name])
    contracts_read_once.setattr(source, "clock", lambda: NOW)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nights without a policy, which share their files."""
    home = tmp_path_factory.mktemp("aged") / "home"
    made = write_installation(home, CONTENT)
    take_snapshot(made)
    take_snapshot(made)
    return home


@pytest.fixture
def settings(tmp_path: Path, template: Path) -> Settings:
    subprocess.run(["cp", "-a", str(template), str(tmp_path / "home")], check=True)
    return replace(load_settings(tmp_path / "home"), retention=POLICY)


def counts(settings: Settings, name: str | None = None) -> dict[str, tuple[int, ...]]:
    """Rows of each table on both sides, as the snapshot itself says."""
    checks = lake_rows(settings, "quality.reconciliation", name)
    assert checks["is_equal"].all()
    found = checks.filter(pl.col("check_code") == "row_count")
    result = {}
    for row in found.to_dicts():
        parts = [row[f"{side}_count"] for side in ("lake", "quarantined", "erased", "expired")]
        assert row["source_count"] == sum(parts)
        result[f"{row['source_name']}.{row['table_name']}"] = (row["source_count"], *parts)
    return {table: (*found[:3], found[4]) for table, found in result.items() if table in COUNTS}


def tables(settings: Settings, name: str | None = None) -> dict[str, pl.DataFrame]:
    """Every table of a snapshot in the order of its keys."""
    rows = {table: lake_rows(settings, table, name) for table in COUNTS}
    return {table: frame.sort(frame.columns[0]) for table, frame in rows.items()}


def tokens(settings: Settings, table: str, *keys: int) -> set[str]:
    """The tokens of some records in the newest snapshot."""
    directory = settings.lake / snapshot_ids(settings.lake)[-1]
    key = key_of_snapshot(settings.vault, directory)
    maker = Tokeniser(key, int(read_manifest(directory, key).token_epoch, 16))
    return {maker.tokenise_one(raw, KEYS[table]) for raw in keys}


def keys_in(settings: Settings, table: str, name: str | None = None) -> set[str]:
    frame = lake_rows(settings, table, name)
    return set(frame[frame.columns[0]])


def assert_gone(settings: Settings) -> None:
    words = sorted(GONE)
    found = [f"{where}: {w}" for where, text in contents(settings) for w in words if w in text]
    assert found == []
    for name in snapshot_ids(settings.lake):
        verify_snapshot(settings, name)


def night(settings: Settings, **options: bool) -> SnapshotReport:
    report = take_snapshot(settings, **options)
    verify_snapshot(settings)
    return report


def test_the_next_night_leaves_out_what_is_old(settings: Settings) -> None:
    night(settings)
    assert counts(settings) == COUNTS
    visits = keys_in(settings, "ehr.ed_visits")
    assert visits == tokens(settings, "ehr.ed_visits", FIRST, 8102_0003)
    assert keys_in(settings, "billing.claims") == tokens(settings, "billing.claims", UNDATED)
    for table in ("ehr.inpatient_encounters", "ehr.observations"):
        # Kept as records of their own, without the visit that is gone.
        assert lake_rows(settings, table)["ed_visit_id"].to_list() == [None]
    # Every visit, stay and claim that is named is there.
    diagnoses = lake_rows(settings, "ehr.ed_visit_diagnoses")
    assert set(diagnoses["visit_id"]) <= visits


def test_retention_takes_it_out_of_every_snapshot(settings: Settings) -> None:
    before = {name: tables(settings, name) for name in snapshot_ids(settings.lake)}
    dry = expired(settings, NOW)
    after = {name: tables(settings, name) for name in before}
    assert all(after[n][t].equals(before[n][t]) for n in before for t in before[n])
    done = retain(settings, NOW)
    assert dry == done
    assert done.amended == tuple(snapshot_ids(settings.lake))
    assert done.rows == {name: gone for name, (*_, gone) in sorted(COUNTS.items()) if gone}
    assert_gone(settings)
    assert "; amended by retention, last at " in str(verify_snapshot(settings))
    first, second = snapshot_ids(settings.lake)
    for name in (first, second):
        assert counts(settings, name) == COUNTS
    path = "ehr/ed_visit_diagnoses/2024-03.parquet"
    assert (settings.lake / first / path).samefile(settings.lake / second / path)
    assert retain(settings, NOW).amended == ()
    # The same as what the extractor makes of the databases, which knows nothing of snapshots.
    kept = tables(settings)
    night(settings, full=True)
    assert all(kept[table].equals(frame) for table, frame in tables(settings).items())
    assert counts(settings) == COUNTS
    assert_gone(settings)


def test_the_night_after_links_what_is_not_concerned(settings: Settings) -> None:
    retain(settings, NOW)
    kept = tables(settings)
    report = night(settings)
    # Read once more: the visits of the months on both sides of the limit, the claims of March 2019.
    assert report.linked_partitions == report.partitions - 3
    assert all(kept[table].equals(frame) for table, frame in tables(settings).items())
    again = night(settings)
    assert again.linked_partitions == again.partitions
    assert counts(settings) == COUNTS


def test_a_longer_policy_brings_back_what_the_source_still_has(settings: Settings) -> None:
    whole = tables(settings)
    retain(settings, NOW)
    night(settings)
    longer = {name: TableRetention(97) for name in POLICY.tables}
    night(replace(settings, retention=RetentionSettings(tables=longer)))
    assert tables(settings)["ehr.ed_visits"].equals(whole["ehr.ed_visits"])
    # Without any policy, everything comes back that depended on it.
    night(replace(settings, retention=None))
    assert all(whole[table].equals(frame) for table, frame in tables(settings).items())


def test_a_month_later_the_next_month_goes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(settings)
    monkeypatch.setattr(source, "clock", lambda: datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
    assert night(settings).linked_partitions == 22  # all
    monkeypatch.setattr(source, "clock", lambda: datetime(2026, 12, 1, tzinfo=UTC))
    night(settings)
    assert not keys_in(settings, "ehr.ed_visits") & tokens(settings, "ehr.ed_visits", FIRST)
    assert counts(settings)["ehr.ed_visits"] == (4, 1, 0, 3)
    assert counts(settings)["ehr.ed_visit_diagnoses"] == (5, 0, 1, 4)


def test_each_snapshot_is_judged_by_its_own_dates(settings: Settings) -> None:
    """A visit of 2019 was one of 2024: the snapshots before the correction still call it old."""
    moved = "2024-03-05T09:00:00+00:00"
    statement = f"update ed_visits set arrived_at = '{moved}', updated_at = '{moved}'"
    change(settings, f"{statement} where visit_id = {LATE}")
    night(replace(settings, retention=None))
    old, _, new = snapshot_ids(settings.lake)
    path = "ehr/ed_visit_diagnoses/2024-03.parquet"
    # One file in all of them: what goes from it is not the same in all.
    assert (settings.lake / old / path).samefile(settings.lake / new / path)
    visits = {"ehr.ed_visits": TableRetention(84)}
    retain(replace(settings, retention=RetentionSettings(tables=visits)), NOW)
    # Now nothing is old in the newest but a row in quarantine, which a diagnosis refers to.
    assert counts(settings)["ehr.ed_visits"] == (4, 3, 0, 1)
    assert counts(settings)["ehr.ed_visit_diagnoses"] == (5, 2, 2, 1)
    hers = tokens(settings, "ehr.ed_visits", LATE)
    for name, is_kept in ((old, False), (new, True)):
        assert (hers <= keys_in(settings, "ehr.ed_visits", name)) == is_kept
        diagnoses = lake_rows(settings, "ehr.ed_visit_diagnoses", name)
        assert (hers <= set(diagnoses["visit_id"])) == is_kept
        verify_snapshot(settings, name)


@pytest.mark.parametrize(("cut", "is_night_first"), [(2, True), (3, True), (4, True), (7, False)])
def test_a_kill_between_two_directories_is_mended_by_what_comes_next(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, cut: int, is_night_first: bool
) -> None:
    """Of each snapshot four steps: vault, old quarantine away, lake, new quarantine in place."""
    left = cut

    def counted(real: object) -> object:
        def act(*arguments: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
            return real(*arguments)  # type: ignore[operator]

        return act

    monkeypatch.setattr(amend, "replace_directory", counted(amend.replace_directory))
    monkeypatch.setattr(amend.os, "rename", counted(amend.os.rename))
    with pytest.raises(KeyboardInterrupt):
        retain(settings, NOW)
    monkeypatch.undo()
    monkeypatch.setattr(source, "clock", lambda: NOW)
    if is_night_first:
        night(settings)
        assert counts(settings) == COUNTS
    retain(settings, NOW)
    assert_gone(settings)
    night(settings)
    assert counts(settings) == COUNTS
    assert_gone(settings)


def test_it_goes_under_every_epoch_of_tokens(settings: Settings) -> None:
    rotate_tokens(settings)
    night(replace(settings, retention=None))
    retain(settings, NOW)
    assert_gone(settings)
    for name in snapshot_ids(settings.lake):
        assert counts(settings, name) == COUNTS


def test_who_is_erased_is_counted_as_erased_and_stays_away(settings: Settings) -> None:
    retain(settings, NOW)
    own = read_vault(current_vault(settings), CROSSWALK)
    named = str(own.filter(pl.col("registration_id") == str(ANNA))["registration_key"][0])
    plan = plan_erasure(settings, named, "erasure_request")
    # Her two old visits are gone already; the one that is left, her stay, her observation.
    assert plan.rows["ehr.ed_visits"] == 1
    erase(settings, named, "erasure_request", plan.request)
    with pytest.raises(ErasureError, match="was cut off"):
        retain(settings, NOW)
    tombstones.end(settings)
    assert counts(settings)["ehr.ed_visits"] == (4, 1, 0, 2)
    assert "; amended by an erasure and retention, last at " in str(verify_snapshot(settings))
    night(settings, full=True)
    # All of her visits are hers, however old: three erased, and none expired.
    assert counts(settings)["ehr.ed_visits"] == (4, 1, 0, 0)
    assert_gone(settings)


@pytest.mark.parametrize(
    ("name", "policy", "said"),
    [
        ("ehr.nothing", TableRetention(84), "no table of patients' records"),
        ("ehr.hospitals", TableRetention(84), "no table of patients' records"),
        ("ehr.patients", TableRetention(84, "updated_at"), "registrations stay"),
        ("billing.coverages", TableRetention(84), "needs by ="),
        ("ehr.ed_visits", TableRetention(84, "acuity_code"), "needs by ="),
        ("ehr.ed_visits", TableRetention(84, "nothing"), "needs by ="),
    ],
)
def test_a_policy_that_no_table_can_have_is_refused_before_anything_goes(
    settings: Settings, name: str, policy: TableRetention, said: str
) -> None:
    before = snapshot_ids(settings.lake)
    wrong = replace(settings, retention=RetentionSettings(tables={name: policy}))
    for act in (take_snapshot, retain, expired):
        with pytest.raises(SettingsError, match=said):
            act(wrong)
    assert snapshot_ids(settings.lake) == before
    assert OLD_CLAIM and not list(settings.home.rglob(".*.tmp"))


def test_lists_of_uncertain_pairs_go_by_their_age(settings: Settings) -> None:
    old, new = snapshot_ids(settings.lake)
    for name in (old, new):
        listed = settings.restricted / "matching" / name / "review.csv"
        listed.parent.mkdir(parents=True, exist_ok=True)
        listed.write_text("one,other,weight\n")
    later = datetime(2100, 1, 1, tzinfo=UTC)
    assert retain(replace(settings, retention=RetentionSettings(review_days=30)), later).reviews
    assert [p.name for p in (settings.restricted / "matching").iterdir()] == [new]
    assert retention.expired(settings, NOW).reviews == ()
    shutil.rmtree(settings.restricted / "matching")
