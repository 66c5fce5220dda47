"""Chart reviews from the hospitals' stores to the marts, and what must not come along."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner

from chart_audit import hand_over as handing
from chart_audit.erasure import remove_visits
from chart_audit.files import store_path
from chart_audit.hand_over import hand_over
from chart_audit.store import opened_store
from extract import snapshot
from extract.contract_files import load_contracts
from extract.erasure import tombstones
from extract.erasure.erase import erase, plan_erasure
from extract.lake import snapshot_ids
from extract.rotation import rotate_tokens
from extract.snapshot import take_snapshot
from governance.errors import ChartAuditError, SettingsError, SourceError
from governance.settings import (
    SETTINGS_FILE,
    RetentionSettings,
    Settings,
    TableRetention,
    load_settings,
)
from ops.cli.main import main
from tests.helpers.operational import write_installation
from tests.helpers.reviews import (
    COMMENT,
    FIRST,
    NO_ISSUE,
    SECOND,
    THIRD,
    issue,
    review,
    visit_tokens,
)

pytestmark = pytest.mark.integration

MARCH, APRIL = datetime(2024, 3, 5, 8, tzinfo=UTC), datetime(2024, 4, 5, 8, tzinfo=UTC)
OLD = datetime(2015, 4, 5, 8, tzinfo=UTC)
ANNA, BEN, CARL = 7101_0001, 7102_0001, 7103_0001
ANNAS, BENS, CARLS = 8101_0001, 8102_0001, 8103_0001
CONTENT = {
    "ehr": {
        "hospitals": [{"hospital_id": "H1"}, {"hospital_id": "H2"}],
        "feeds": [{"hospital_id": "H1", "data_through_at": APRIL}],
        "patients": [{"patient_id": key, "hospital_id": "H1"} for key in (ANNA, BEN, CARL)],
        "ed_visits": [
            {"visit_id": visit, "hospital_id": "H1", "patient_id": key, "arrived_at": moment}
            for visit, key, moment in (
                (ANNAS, ANNA, MARCH),
                (BENS, BEN, APRIL),
                (CARLS, CARL, OLD),
            )
        ],
    }
}
SOURCE = '\n[sources.chart_audit]\nkind = "sqlite"\npath = "handed_over/chart_audit.sqlite"\n'


# What is handed over, and how.


@pytest.fixture(scope="module", autouse=True)
def lists(contracts_read_once: pytest.MonkeyPatch) -> None:
    codes = pa.table({"code": ["I214"]})
    contracts_read_once.setattr(snapshot, "reference_table_apart", lambda _: codes)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Three reviewed cases of H1: Anna's with two causes, Ben's and Carl's without an issue."""
    home = tmp_path / "home"
    write_installation(home, CONTENT)
    with (home / SETTINGS_FILE).open("a") as file:
        file.write(SOURCE)
    made = load_settings(home)
    annas, bens, carls = visit_tokens(made, ANNAS, BENS, CARLS)
    review(made, "H1", annas, issue("handover", "crowding"))
    review(made, "H1", annas, NO_ISSUE, stage="second")
    review(made, "H1", annas, issue("handover"), stage="reconciled", is_draft=True)
    review(made, "H1", bens, NO_ISSUE)
    review(made, "H1", carls, NO_ISSUE)
    return made


def lake(settings: Settings, table: str = "case_reviews", name: str = "current") -> pl.DataFrame:
    return pl.read_parquet(settings.lake / name / "chart_audit" / table / "*.parquet")


def night(settings: Settings) -> list[str]:
    """Hand over and take a snapshot; return the reviewed visits by token."""
    hand_over(settings)
    take_snapshot(settings)
    return sorted(lake(settings)["index_visit_key"])


def visits(settings: Settings) -> set[str]:
    return set(pl.read_parquet(settings.lake / "current" / "ehr" / "ed_visits")["visit_id"])


def row_count(settings: Settings, column: str) -> int:
    checks = pl.read_parquet(settings.lake / "current" / "quality" / "reconciliation" / "*.parquet")
    assert checks["is_equal"].all()
    found = checks.filter(table_name="case_reviews", check_code="row_count")
    return int(found[column].item())


def test_drafts_comments_and_reviewers_are_not_handed_over(settings: Settings) -> None:
    done = hand_over(settings)
    assert (done.hospitals, done.reviews, done.answers) == (1, 4, 8 + 2 + 2 + 2)
    kept = store_path(settings, "H1").read_bytes()
    handed = settings.chart_reviews.read_bytes()
    for word in (FIRST, SECOND, COMMENT):
        assert word.encode() in kept
        assert word.encode() not in handed
    assert THIRD.encode() not in handed
    with closing(sqlite3.connect(settings.chart_reviews)) as connection:
        columns = {
            name: [row[1] for row in connection.execute(f"pragma table_info({name})")]
            for (name,) in connection.execute("select name from sqlite_master where type = 'table'")
        }
    declared = load_contracts(Path(__file__).parents[2])["chart_audit"].tables
    assert columns == {name: [c.name for c in table.columns] for name, table in declared.items()}


def test_a_case_that_is_removed_leaves_the_handed_over_file_at_once(settings: Settings) -> None:
    (annas,) = visit_tokens(settings, ANNAS)
    hand_over(settings)
    assert annas.encode() in settings.chart_reviews.read_bytes()
    assert remove_visits(settings, {annas}) == 3
    assert annas.encode() not in settings.chart_reviews.read_bytes()


def test_a_command_hands_over_and_says_how_much(settings: Settings) -> None:
    done = CliRunner().invoke(main, ["chart-audit", "hand-over", "--home", str(settings.home)])
    assert done.exit_code == 0, done.output
    assert "4 submitted reviews of 1 hospitals, 14 answers" in done.output


@pytest.mark.parametrize(("mode", "wanted"), [(0o700, 0o600), (0o2750, 0o640)])
def test_the_file_is_open_to_the_group_of_its_directory_alone(
    settings: Settings, mode: int, wanted: int
) -> None:
    folder = settings.chart_reviews.parent
    folder.mkdir()
    folder.chmod(mode)
    before = os.umask(0)
    try:
        hand_over(settings)
    finally:
        os.umask(before)
    assert stat.S_IMODE(settings.chart_reviews.stat().st_mode) == wanted
    assert [path.name for path in folder.iterdir()] == ["chart_audit.sqlite"]


@pytest.mark.parametrize("name", ["H2.sqlite", "H1.copy.sqlite"])
def test_a_store_that_cannot_be_read_leaves_what_was_handed_over(
    settings: Settings, name: str
) -> None:
    hand_over(settings)
    before = settings.chart_reviews.read_bytes()
    (settings.chart_audit / name).write_bytes(b"no database" * 100)
    (settings.chart_audit / name).chmod(0o600)
    with pytest.raises(ChartAuditError, match=f"Nothing was handed over: {Path(name).stem}: "):
        hand_over(settings)
    assert settings.chart_reviews.read_bytes() == before
    assert len(list(settings.chart_reviews.parent.iterdir())) == 1


def test_a_full_disk_leaves_what_was_handed_over(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_over(settings)
    before = settings.chart_reviews.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(handing, "sync", full)
    with pytest.raises(ChartAuditError, match="No space left"):
        hand_over(settings)
    assert settings.chart_reviews.read_bytes() == before
    assert len(list(settings.chart_reviews.parent.iterdir())) == 1


def test_a_source_that_was_never_handed_over_stops_the_night(settings: Settings) -> None:
    with pytest.raises(SourceError, match=r"chart_audit: there is no database file"):
        take_snapshot(settings)
    assert not snapshot_ids(settings.lake)


def test_an_installation_without_stores_hands_over_nothing(tmp_path: Path) -> None:
    made = write_installation(tmp_path / "home", CONTENT)
    assert str(hand_over(made)) == "0 submitted reviews of 0 hospitals, 0 answers"
    assert not made.chart_audit.exists()


# What the extractor makes of it.


def test_reviews_name_visits_by_the_lakes_own_tokens(settings: Settings) -> None:
    annas, bens, carls = visit_tokens(settings, ANNAS, BENS, CARLS)
    assert night(settings) == sorted([annas, annas, bens, carls])
    assert {annas, bens, carls} == visits(settings)
    reviews, answers = lake(settings), lake(settings, "review_answers")
    assert set(answers["review_id"]) == set(reviews["review_id"])
    # Its own keys are tokens, too: nothing tells the order in which reviews were written.
    assert reviews["review_id"].str.contains("^[0-9a-f]{20}$").all()
    assert set(reviews["hospital_id"]) == {"H1"}


def test_a_removed_case_is_not_in_the_next_snapshot(settings: Settings) -> None:
    night(settings)
    (annas,) = visit_tokens(settings, ANNAS)
    with opened_store(settings, "H1") as store:
        assert store.remove_case(annas) == 3
    hand_over(settings)
    assert annas.encode() not in settings.chart_reviews.read_bytes()
    assert annas not in night(settings)
    assert lake(settings, "review_answers").height == 4


def test_what_is_no_token_goes_to_quarantine_with_its_row(settings: Settings) -> None:
    hand_over(settings)
    with closing(sqlite3.connect(settings.chart_reviews)) as connection, connection:
        connection.execute(
            "update case_reviews set index_visit_key = 'Ms Quillfeather' "
            "where stage_code = 'second'"
        )
    report = take_snapshot(settings)
    assert (report.quarantined_rows, report.quarantined_values) == (1, 1)
    assert lake(settings).height == 3
    quarantine = pl.read_parquet(settings.lake / "current" / "quality" / "quarantine" / "*.parquet")
    assert quarantine.select("column_name", "reason_code", "is_row_dropped").rows() == [
        ("index_visit_key", "not_a_token", True)
    ]
    files = [path for path in settings.lake.rglob("*") if path.is_file()]
    assert not [path for path in files if b"Quillfeather" in path.read_bytes()]


@pytest.mark.parametrize("code", ["Ms Quillfeather", "not_on_the_list"])
def test_an_answer_that_no_list_has_goes_to_quarantine(settings: Settings, code: str) -> None:
    hand_over(settings)
    with closing(sqlite3.connect(settings.chart_reviews)) as connection, connection:
        connection.execute("update review_answers set code = ? where code = 'crowding'", [code])
    assert take_snapshot(settings).quarantined_rows == 1
    assert code not in set(lake(settings, "review_answers")["code"])


def test_after_a_rotation_reviews_name_the_new_tokens(settings: Settings) -> None:
    """Of a visit that the source has since forgotten, too: the vault still knows it."""
    before = night(settings)
    with closing(sqlite3.connect(settings.home / "sources" / "ehr.sqlite")) as connection:
        connection.execute(f"delete from ed_visits where visit_id = {BENS}")
        connection.commit()
    rotate_tokens(settings)
    after = night(settings)
    assert {token[0] for token in before} == {"a"}
    assert {token[0] for token in after} == {"b"}
    annas, bens, carls = visit_tokens_of(settings, "b")
    assert after == sorted([annas, annas, bens, carls])
    # The maps of later nights say it, also through two of them.
    rotate_tokens(settings)
    later = night(settings)
    # Ben's visit left the source an epoch ago: nobody knows what it would be called now.
    annas, _, carls = visit_tokens_of(settings, "c")
    assert sorted(later) == sorted([bens, annas, annas, carls])
    # A token that no map has stays as it is.
    review(settings, "H1", "f" * 20, NO_ISSUE)
    assert night(settings) == sorted([*later, "f" * 20])


def visit_tokens_of(settings: Settings, epoch: str) -> list[str]:
    return [epoch + token[1:] for token in visit_tokens(settings, ANNAS, BENS, CARLS)]


def test_without_the_map_a_review_stays_under_its_old_token(settings: Settings) -> None:
    before = night(settings)
    rotate_tokens(settings)
    assert not set(night(settings)) & set(before)
    for path in (settings.restricted / "token_maps").iterdir():
        path.unlink()
    review(settings, "H1", "f" * 20, NO_ISSUE)  # what has changed is read again
    assert night(settings) == sorted([*before, "f" * 20])
    assert row_count(settings, "lake_count") == 5


def test_reviews_of_an_erased_person_go_and_do_not_come_back(settings: Settings) -> None:
    """Also where nobody has taken the case out of the store, and after a rotation."""
    annas, bens, carls = visit_tokens(settings, ANNAS, BENS, CARLS)
    night(settings)
    found = pl.read_parquet(settings.lake / "current" / "ehr" / "ed_visits" / "*.parquet")
    (named,) = found.filter(visit_id=annas)["patient_id"]
    plan = plan_erasure(settings, named, "erasure_request")
    assert plan.rows["chart_audit.case_reviews"] == 2
    assert plan.rows["chart_audit.review_answers"] == 10
    erase(settings, named, "erasure_request", plan.request)
    tombstones.end(settings)
    assert sorted(lake(settings)["index_visit_key"]) == sorted([bens, carls])
    assert night(settings) == sorted([bens, carls])
    assert row_count(settings, "erased_count") == 2
    assert lake(settings, "review_answers").height == 4
    with opened_store(settings, "H1") as store:
        assert annas in store.states()
    rotate_tokens(settings)
    assert len(night(settings)) == 2
    assert row_count(settings, "erased_count") == 2


def test_reviews_expire_with_their_visit(settings: Settings) -> None:
    policy = RetentionSettings(tables={"ehr.ed_visits": TableRetention(60)})
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert (now - OLD).days > 60 * 31
    kept = replace(settings, retention=policy)
    annas, bens = visit_tokens(settings, ANNAS, BENS)
    assert night(kept) == sorted([annas, annas, bens])
    assert row_count(kept, "expired_count") == 1
    assert lake(kept, "review_answers").height == 12


def test_reviews_need_the_source_of_their_visits(settings: Settings) -> None:
    hand_over(settings)
    alone = replace(settings, sources={"chart_audit": settings.sources["chart_audit"]})
    with pytest.raises(SettingsError, match="does not name the source ehr"):
        take_snapshot(alone)
