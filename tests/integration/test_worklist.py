"""The worklist of a hospital: which cases it lists, that it keeps them, and how it is handed on."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from chart_audit.store import Findings, opened_store
from governance.errors import ChartAuditError, PublicationError
from governance.settings import SETTINGS_FILE, Settings
from ops.cli.main import main
from ops.demo_reviews import plant_reviews
from ops.publication.publish import publish
from ops.publication.worklist import export_worklist, quarter_of
from tests.helpers.pipeline import query
from tests.helpers.small_warehouse import HOSPITALS, write_record

pytestmark = pytest.mark.integration

OWN = "mill_valley"
CASES = "marts.rpt_ed_review_worklist"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, small_warehouse: Path) -> Settings:
    """One publication, for the tests that only read it."""
    home = tmp_path_factory.mktemp("published")
    shutil.copy2(small_warehouse, home)
    write_record(home)
    publish(Settings(home=home, is_synthetic=True))
    return Settings(home=home, is_synthetic=True)


def change(settings: Settings, *statements: str) -> None:
    with duckdb.connect(str(settings.warehouse)) as con:
        for statement in statements:
            con.execute(statement)
    write_record(settings.home)


def listed(settings: Settings, hospital: str = OWN) -> list[str]:
    file = settings.operational / hospital / "current.duckdb"
    frame = query(
        file, "select index_visit_key, hospital_key from own.rpt_ed_review_worklist order by 1"
    )
    assert set(frame["hospital_key"]) <= {hospital}
    return [key.removeprefix(f"{hospital}-") for key in frame["index_visit_key"]]


def insert(number: int, place: int) -> Sequence[str]:
    """A case that a later snapshot knows, at a place that another one has had."""
    return (
        f"update {CASES} set sample_number = sample_number + 1 "
        f"where hospital_key = '{OWN}' and not is_quarter_open and sample_number >= {place}",
        f"insert into {CASES} values ('{OWN}-{number}', null, '{OWN}', 'sample', {place}, 2, "
        "true, false, true, date '2024-10-01')",
    )


def test_sentinel_cases_and_the_quota_of_a_closed_quarter(published: Settings) -> None:
    # 0 is sentinel, 1 and 2 the quota of two; 6 is of a quarter that is still open.
    assert listed(published) == ["0", "1", "2"]


def test_a_late_case_pushes_no_other_out(settings: Settings) -> None:
    publish(settings)
    change(settings, *insert(9, 1))
    publish(settings)
    assert listed(settings) == ["0", "1", "2"]


def test_a_case_that_is_none_any_more_gives_its_place_to_the_next(settings: Settings) -> None:
    publish(settings)
    change(settings, f"delete from {CASES} where index_visit_key = '{OWN}-1'", *insert(9, 1))
    publish(settings)
    assert listed(settings) == ["0", "2", "9"]


def test_a_sampled_case_that_turns_sentinel_stays_and_another_is_drawn(settings: Settings) -> None:
    publish(settings)
    change(
        settings,
        f"update {CASES} set reason_code = 'sentinel', sample_number = null "
        f"where index_visit_key = '{OWN}-2'",
    )
    publish(settings)
    assert listed(settings) == ["0", "1", "2", "3"]


def test_a_smaller_quota_takes_no_listed_case_away(settings: Settings) -> None:
    publish(settings)
    change(settings, f"update {CASES} set quota_count = 1")
    publish(settings)
    assert listed(settings) == ["0", "1", "2"]


def test_an_open_file_does_not_stop_the_next_publication(settings: Settings) -> None:
    publish(settings)
    with duckdb.connect(str(settings.operational / OWN / "current.duckdb"), read_only=True):
        publish(settings)
    assert listed(settings) == ["0", "1", "2"]
    assert not list((settings.operational / OWN).glob(".*"))


def test_no_network_file_and_no_other_hospital_has_a_worklist(published: Settings) -> None:
    tables = query(published.published / "current.duckdb", "select table_name from duckdb_tables()")
    assert [name for name in tables["table_name"] if "worklist" in name] == []
    assert b"mill_valley-1" not in (published.published / "current.duckdb").read_bytes()
    for directory in published.operational.iterdir():
        assert listed(published, directory.name) == ["0", "1", "2"]


def test_a_quarter_is_exported_as_the_broker_reads_it(published: Settings, tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    assert export_worklist(published, OWN, "2024-Q4", path) == 4
    assert path.read_text() == "".join(f"{OWN}-{n}\n" for n in ("1", "2", "r1", "r2"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("hospital", "quarter", "sentence"),
    [
        ("../published", "2024-Q4", "no file of hospital"),
        ("nowhere", "2024-Q4", "no file of hospital"),
        (OWN, "2024-Q3", "no case of 2024-Q3"),
        (OWN, "2024-4", "is no quarter"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    published: Settings, tmp_path: Path, hospital: str, quarter: str, sentence: str
) -> None:
    with pytest.raises(PublicationError, match=sentence):
        export_worklist(published, hospital, quarter, tmp_path / "tokens.txt")
    assert not (tmp_path / "tokens.txt").exists()


def test_the_demos_reviews_follow_from_the_place_in_the_sample(settings: Settings) -> None:
    publish(settings)
    # Of each hospital 1 and 2 of the last closed quarter: 1 leaves a remainder of 1 by 4.
    for _ in range(2):
        assert plant_reviews(settings) == 2 * len(HOSPITALS)
    with opened_store(settings, OWN) as store:
        assert store.findings("2024-10-01") == Findings(
            2, 1, {"elder_care": 1, "cognitive_lapse": 1}
        )
        assert store.findings("2025-01-01") == Findings()
    with pytest.raises(ChartAuditError, match="real installation"):
        plant_reviews(Settings(home=settings.home))


def test_quarters_begin_in_their_first_month() -> None:
    assert [quarter_of(f"2026-Q{n}").isoformat() for n in (1, 2, 3, 4)] == [
        "2026-01-01",
        "2026-04-01",
        "2026-07-01",
        "2026-10-01",
    ]


def test_the_exported_tokens_are_a_request_to_the_broker(
    demo_settings: Settings, tmp_path: Path
) -> None:
    home, out = tmp_path / "home", tmp_path / "tokens.txt"
    (home / "broker" / "requests").mkdir(parents=True)
    shutil.copy2(demo_settings.home / SETTINGS_FILE, home)
    (home / "operational").symlink_to(demo_settings.operational)
    hospital, quarter = query(
        demo_settings.warehouse,
        "select hospital_key, year(quarter_on) || '-Q' || quarter(quarter_on) as quarter "
        f"from {CASES} where is_drawn order by all limit 1",
    ).row(0)
    words = ["--home", str(home), "--hospital", hospital]
    exported = ["worklist", "export", *words, "--quarter", quarter, "--out", str(out)]
    asked = ["vault", "request", *words, "--worklist", str(out)]
    for command in (exported, [*asked, "--reason", "patient_safety", "--purpose", "HOPERAT"]):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
    (request,) = (home / "broker" / "requests").iterdir()
    tokens = json.loads(request.read_bytes())["tokens"]
    # What the broker asks of tokens: visits of that hospital in the newest build.
    visits = query(
        demo_settings.warehouse,
        f"select ed_visit_key from core.fct_ed_visits where hospital_key = '{hospital}'",
    )
    assert tokens
    assert set(tokens) <= set(visits["ed_visit_key"])
