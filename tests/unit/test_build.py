"""The build record: written for whole green builds only, and gone before the next one starts."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import pytest

from governance.audit.verify import verify_logs
from governance.errors import AuditError, BuildError
from governance.settings import Settings
from ops import build
from ops.build import read_record, record_path, run_build
from tests.helpers.small_snapshot import NAME as SNAPSHOT
from tests.helpers.small_snapshot import small_settings, write_snapshot

GREEN = {
    "model.scutari.publication_gate": "success",
    "model.scutari.dim_patients": "success",
    "test.scutari.unique_dim_patients_person_key.0a1b2c": "pass",
    "test.scutari.few_rows.1a1b2c": "warn",
    "seed.scutari.sex": "success",
}


class FakeDbt:
    """Stands in for the subprocess: writes run_results.json as dbt does, and the warehouse."""

    def __init__(self, settings: Settings, statuses: dict[str, str] | None, code: int = 0) -> None:
        self.settings = settings
        self.statuses = statuses
        self.code = code
        self.command: list[str] = []
        self.environment: dict[str, str] = {}
        self.had_record = True
        self.output = b""

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        self.command, self.environment = command, options["env"]
        self.had_record = record_path(self.settings).exists()
        assert options["capture_output"]
        target = Path(options["env"]["DBT_TARGET_PATH"])
        target.mkdir(parents=True, exist_ok=True)
        if self.statuses is not None:
            results = [{"unique_id": name, "status": s} for name, s in self.statuses.items()]
            (target / "run_results.json").write_text(json.dumps({"results": results}))
        self.settings.warehouse.unlink(missing_ok=True)
        duckdb.connect(str(self.settings.warehouse)).close()
        return subprocess.CompletedProcess(command, self.code, self.output, b"")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = small_settings(tmp_path)
    write_snapshot(made)
    return made


def fake(
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    statuses: dict[str, str] | None,
    code: int = 0,
) -> FakeDbt:
    dbt = FakeDbt(settings, statuses, code)
    monkeypatch.setattr(build.subprocess, "run", dbt)
    return dbt


def test_green_build_is_recorded_for_its_snapshot(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    dbt = fake(monkeypatch, settings, GREEN)
    result = run_build(settings)
    assert (result.snapshot_id, result.models_count, result.tests_count) == (SNAPSHOT, 2, 2)
    record = read_record(settings)
    assert record.snapshot_id == SNAPSHOT
    assert record.models == ["dim_patients", "publication_gate"]
    # The snapshot is pinned: one that lands during the build must not get into it.
    assert dbt.environment["SCUTARI_SNAPSHOT"] == SNAPSHOT
    assert dbt.environment["SCUTARI_HOME"] == str(settings.home)


def test_a_build_is_in_the_audit_log(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, settings, GREEN)
    run_build(settings, select="+dim_patients")
    fake(monkeypatch, settings, None, code=2)
    with pytest.raises(BuildError):
        run_build(settings, target="postgres")
    [log] = verify_logs(settings)
    said = [(entry.event, entry.outcome, entry.parameters) for entry in log.entries[1:]]
    begun = {"is_partial": True, "snapshot_id": SNAPSHOT, "target": "duckdb"}
    assert said == [
        ("build", "begun", begun),
        ("build", "done", {"models": 2, "tests": 2}),
        ("build", "begun", begun | {"is_partial": False, "target": "other"}),
        ("build", "failed", {}),
    ]


def test_a_build_that_cannot_be_logged_does_not_begin(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    dbt = fake(monkeypatch, settings, GREEN)
    settings.audit.write_text("a file where a directory belongs")
    with pytest.raises(AuditError, match="nothing goes on without its entry"):
        run_build(settings)
    assert dbt.command == []


@pytest.mark.parametrize(
    "change",
    [
        {"test.scutari.unique_dim_patients_person_key.0a1b2c": "fail"},
        {"model.scutari.dim_patients": "error"},
        {"model.scutari.dim_patients": "skipped"},
    ],
)
def test_red_build_removes_the_record_of_the_last_green_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, change: dict[str, str]
) -> None:
    fake(monkeypatch, settings, GREEN)
    run_build(settings)
    dbt = fake(monkeypatch, settings, GREEN | change, code=1)
    with pytest.raises(BuildError):
        run_build(settings)
    assert not dbt.had_record
    with pytest.raises(BuildError, match="no whole green build"):
        read_record(settings)


def test_failure_names_what_failed_and_no_more_than_five(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = {f"test.scutari.check_{number}.abc": "fail" for number in range(7)}
    fake(monkeypatch, settings, GREEN | failed, code=1)
    with pytest.raises(BuildError) as caught:
        run_build(settings)
    message = str(caught.value)
    assert "failed in check_0, check_1, check_2, check_3, check_4 and 2 more" in message
    assert "`scutari build`" in message
    assert "\n" not in message


def test_green_results_with_a_failing_exit_are_no_green_build(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(monkeypatch, settings, GREEN, code=2)
    with pytest.raises(BuildError):
        run_build(settings)
    assert not record_path(settings).exists()


def test_results_of_an_earlier_run_are_not_taken_for_this_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(monkeypatch, settings, GREEN)
    run_build(settings)
    fake(monkeypatch, settings, None)
    with pytest.raises(BuildError, match="could not start"):
        run_build(settings)
    assert not record_path(settings).exists()


def test_partial_build_and_build_without_gate_are_not_recorded(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    dbt = fake(monkeypatch, settings, GREEN)
    run_build(settings, select="+dim_patients")
    assert dbt.command[-2:] == ["--select", "+dim_patients"]
    assert not record_path(settings).exists()
    ungated = {name: s for name, s in GREEN.items() if not name.endswith("publication_gate")}
    fake(monkeypatch, settings, ungated)
    run_build(settings)
    assert not record_path(settings).exists()


def test_build_on_spark_leaves_the_record_of_the_warehouse_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(monkeypatch, settings, GREEN)
    run_build(settings)
    before = record_path(settings).read_text()
    fake(monkeypatch, settings, GREEN)
    run_build(settings, target="spark")
    assert record_path(settings).read_text() == before


def test_no_snapshot_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"There is no snapshot in .*lake: .*`scutari snapshot`"):
        run_build(Settings(home=tmp_path))


def test_what_dbt_says_of_the_projects_own_files_is_passed_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    dbt = fake(monkeypatch, settings, None, code=2)
    dbt.output = (
        b"08:45:20  Running with dbt\n08:45:20  Encountered an error:\n"
        b"\x1b[31mCompilation Error\x1b[0m in operation lint_cohorts\n  cohorts/x.yml: no code\n"
    )
    with pytest.raises(BuildError) as caught:
        run_build(settings)
    assert str(caught.value).endswith(
        "Compilation Error in operation lint_cohorts cohorts/x.yml: no code"
    )
