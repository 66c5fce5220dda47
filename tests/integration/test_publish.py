"""Publication: refused without a whole green build, whole or not at all, and split by zone."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import duckdb
import pytest

from governance.audit.verify import verify_logs
from governance.errors import PublicationError
from governance.settings import Settings
from ops.publication import publish as publish_module
from ops.publication.publish import VERSIONS_KEPT, publish
from tests.helpers.small_warehouse import (
    HEADLINE,
    HOSPITALS,
    SNAPSHOT_ID,
    write_record,
)

pytestmark = pytest.mark.integration


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path), read_only=True) as con:
        return con.execute(sql).fetchall()


def rewrite(settings: Settings, sql: str) -> None:
    with duckdb.connect(str(settings.warehouse)) as con:
        con.execute(sql)
    write_record(settings.home)


def test_network_file_holds_no_small_cell(settings: Settings) -> None:
    report = publish(settings)
    current = settings.published / "current.duckdb"
    assert current.resolve() == report.network_file.resolve()
    assert query(current, "select snapshot_id, hospital_key from publication") == [
        (SNAPSHOT_ID, None)
    ]
    shown = query(
        current,
        "select numerator_count from rpt_ed_returns_monthly union all "
        "select numerator_count from rpt_ed_returns_xmr union all "
        "select numerator_count from rpt_ed_returns_funnel",
    )
    assert not [value for (value,) in shown if value is not None and 1 <= value <= 10]
    assert [value for (value,) in shown if value is None]
    assert [value for (value,) in shown if value is not None and value > 10]


def test_hospital_file_holds_its_own_cells_whole_and_no_one_elses(settings: Settings) -> None:
    publish(settings)
    own = settings.operational / "mill_valley" / "current.duckdb"
    whole = query(
        settings.warehouse,
        "select month_on, measure_code, numerator_count from marts.rpt_ed_returns_monthly "
        "where hospital_key = 'mill_valley' order by all",
    )
    seen = query(
        own,
        "select month_on, measure_code, numerator_count from own.rpt_ed_returns_monthly "
        "order by all",
    )
    assert seen == whole
    assert [row for row in seen if row[2] is not None and 1 <= row[2] <= 10]
    # Of the others it holds what the network's file holds, row for row.
    for table in ("rpt_ed_returns_monthly", "rpt_ed_returns_half_yearly", "rpt_claims_monthly"):
        network = query(settings.published / "current.duckdb", f"select * from {table} order by 1")
        assert sorted(map(str, query(own, f"select * from {table}"))) == sorted(map(str, network))
    tables = query(own, "select table_name from duckdb_tables() where schema_name = 'own'")
    for (table,) in tables:
        columns = query(own, f"select column_name from (describe own.{table})")
        if ("hospital_key",) in columns:
            hospitals = query(own, f"select distinct hospital_key from own.{table}")
            assert hospitals == [("mill_valley",)], table
    assert query(own, "select hospital_key from publication") == [("mill_valley",)]


def test_own_chart_uses_months_that_the_network_does_not_show(settings: Settings) -> None:
    publish(settings)
    own = settings.operational / "mill_valley" / "current.duckdb"
    chart = (
        "select count(rate) from {}.rpt_ed_returns_xmr where hospital_key = 'mill_valley' "
        f"and measure_code = '{HEADLINE}' and denominator_code = 'all_visits'"
    )
    # 19 months: the own chart has all of them; the network's file hides at least the open one.
    assert query(own, chart.format("own")) == [(19,)]
    assert query(own, chart.format("main"))[0][0] < 19


def test_files_belong_to_their_zone_and_are_not_readable_by_the_world(settings: Settings) -> None:
    report = publish(settings)
    assert set(report.hospital_files) == {row[0] for row in HOSPITALS}
    assert stat.S_IMODE(settings.operational.stat().st_mode) == 0o750
    for path in (report.network_file, *report.hospital_files.values()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
        assert {entry.name for entry in path.parent.iterdir()} - {".lock"} == {
            path.name,
            "current.duckdb",
        }
        assert os.readlink(path.with_name("current.duckdb")) == path.name


def test_a_publication_is_in_the_audit_log(settings: Settings) -> None:
    report = publish(settings)
    [log] = verify_logs(settings)
    begun, done = log.entries[-2:]
    assert (begun.event, begun.outcome, done.outcome) == ("publish", "begun", "done")
    assert begun.parameters == {"snapshot_id": report.snapshot_id}
    assert done.parameters == {
        "hospitals": len(HOSPITALS),
        "network_sha256": hashlib.sha256(report.network_file.read_bytes()).hexdigest(),
    }


def test_last_three_versions_are_kept(settings: Settings) -> None:
    reports = [publish(settings) for _ in range(VERSIONS_KEPT + 2)]
    for zone in (settings.published, settings.operational / "harbour"):
        kept = {path.name for path in zone.glob("*.duckdb")} - {"current.duckdb"}
        assert kept == {report.network_file.name for report in reports[-VERSIONS_KEPT:]}


def test_failure_half_way_leaves_the_previous_publication(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = publish(settings)
    files = sorted(str(path) for path in settings.home.rglob("*"))
    real = publish_module._write_own

    def fail_late(con: Any, hospital: str, network: Any) -> None:
        real(con, hospital, network)
        if hospital == "st_brigid":
            raise OSError("No space left on device")

    monkeypatch.setattr(publish_module, "_write_own", fail_late)
    with pytest.raises(PublicationError, match=r"previous publication .* stays: No space left"):
        publish(settings)
    assert sorted(str(path) for path in settings.home.rglob("*")) == files
    assert (settings.published / "current.duckdb").resolve() == before.network_file.resolve()
    monkeypatch.undo()
    assert publish(settings).network_file.exists()


def test_leftover_of_a_killed_publication_is_removed(settings: Settings) -> None:
    settings.published.mkdir()
    leftover = settings.published / ".20240101T000000Z-1.duckdb.tmp"
    leftover.write_bytes(b"half a file")
    publish(settings)
    assert not leftover.exists()


def test_no_build_record_is_refused(settings: Settings) -> None:
    (settings.home / "warehouse.build.json").unlink()
    with pytest.raises(PublicationError, match=r"no whole green build .*`scutari build`"):
        publish(settings)
    assert not (settings.published / "current.duckdb").exists()


def test_unreadable_build_record_is_refused(settings: Settings) -> None:
    (settings.home / "warehouse.build.json").write_text('{"snapshot_id": "x"}')
    with pytest.raises(PublicationError, match="cannot be read"):
        publish(settings)


@pytest.mark.parametrize("change", [{"is_green": False}, {"models": ["rpt_snapshot"]}])
def test_build_without_green_gate_is_refused(settings: Settings, change: dict[str, Any]) -> None:
    write_record(settings.home, **change)
    with pytest.raises(PublicationError, match="was not green"):
        publish(settings)


def test_warehouse_of_another_snapshot_is_refused(settings: Settings) -> None:
    write_record(settings.home, snapshot_id="20240101T000000Z")
    with pytest.raises(PublicationError, match="do not name the same one snapshot"):
        publish(settings)


def test_gate_of_another_snapshot_is_refused(settings: Settings) -> None:
    rewrite(settings, "update published.publication_gate set snapshot_id = '20240101T000000Z'")
    with pytest.raises(PublicationError, match="do not name the same one snapshot"):
        publish(settings)


def test_warehouse_changed_after_its_build_is_refused(settings: Settings) -> None:
    with duckdb.connect(str(settings.warehouse)) as con:
        con.execute("drop table marts.rpt_member_months")
    with pytest.raises(PublicationError, match="was changed after its last whole green build"):
        publish(settings)


def test_missing_table_is_refused_in_one_sentence(settings: Settings) -> None:
    rewrite(settings, "drop table published.measures")
    with pytest.raises(PublicationError, match="measures") as caught:
        publish(settings)
    assert "\n" not in str(caught.value)
    assert not list(settings.published.glob("*.duckdb*"))


def test_hospital_key_that_leaves_its_zone_is_refused(settings: Settings) -> None:
    rewrite(settings, "update core.dim_hospitals set hospital_key = '../x' where zip3 is not null")
    with pytest.raises(PublicationError, match="cannot name a directory"):
        publish(settings)
    assert not settings.operational.exists()


def test_second_publication_at_the_same_time_is_refused(settings: Settings) -> None:
    settings.published.mkdir()
    with (settings.published / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(PublicationError, match="another publication"):
            publish(settings)
    assert publish(settings).network_file.exists()


def test_a_reader_of_the_old_version_is_not_disturbed(settings: Settings) -> None:
    publish(settings)
    current = settings.published / "current.duckdb"
    with duckdb.connect(str(current.resolve()), read_only=True) as reader:
        counted = reader.execute("select count(*) from rpt_ed_returns_monthly").fetchall()
        for _ in range(VERSIONS_KEPT + 1):
            publish(settings)
        assert reader.execute("select count(*) from rpt_ed_returns_monthly").fetchall() == counted
    assert query(current, "select count(*) from rpt_ed_returns_monthly") == counted
