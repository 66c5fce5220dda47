"""What is old enough goes from every zone; the current snapshot never does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from extract import retention, snapshot
from extract.lake import snapshot_ids
from extract.retention import expired, retain
from extract.snapshot import take_snapshot
from extract.verify import verify_snapshot
from governance.audit.verify import verify_logs
from governance.errors import SettingsError
from governance.settings import RetentionSettings, Settings, load_settings
from ops.cli.main import main
from tests.helpers.erased import CONTENT
from tests.helpers.operational import write_installation

pytestmark = pytest.mark.integration
# Two nights of February, two of March, one of April.
NIGHTS = [
    "20260201T030000Z",
    "20260228T030000Z",
    "20260301T030000Z",
    "20260331T030000Z",
    "20260401T030000Z",
]
NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("retention") / "home"
    made = write_installation(home, CONTENT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "reference_table_apart", lambda _: pa.table({"code": ["I214"]}))
        patch.setattr(snapshot, "reference_versions", dict)
        for night in NIGHTS:
            patch.setattr(snapshot, "new_id", lambda _, night=night: night)
            take_snapshot(made)
    yield home


@pytest.fixture
def settings(tmp_path: Path, template: Path) -> Settings:
    shutil.copytree(template, tmp_path / "home", symlinks=True)
    return load_settings(tmp_path / "home")


def kept(settings: Settings, policy: RetentionSettings) -> list[str]:
    """Apply a policy and return what is left, the same in all three zones."""
    retain(replace(settings, retention=policy), NOW)
    names = snapshot_ids(settings.lake)
    assert sorted(os.listdir(settings.vault / "versions")) == names
    assert set(os.listdir(settings.restricted / "quarantine")) <= set(names)
    for name in names:
        verify_snapshot(settings, name)
    return names


def test_the_newest_and_the_last_of_each_month_stay(settings: Settings) -> None:
    assert kept(settings, RetentionSettings(snapshots=2, months=3)) == [
        NIGHTS[1],  # the last of February
        NIGHTS[3],  # the last of March, and the second newest
        NIGHTS[4],
    ]


def test_the_current_snapshot_stays_whatever_is_newer(settings: Settings) -> None:
    for zone, target in ((settings.lake, NIGHTS[0]), (settings.vault, f"versions/{NIGHTS[0]}")):
        (zone / "current").unlink()
        (zone / "current").symlink_to(target)
    assert kept(settings, RetentionSettings(snapshots=1)) == [NIGHTS[0], NIGHTS[4]]


def test_quarantine_goes_by_its_age_but_not_what_waits(settings: Settings) -> None:
    policy = RetentionSettings(quarantine_days=31)
    assert kept(settings, policy) == NIGHTS
    # 1 March, 03:00 is 31 days and 9 hours ago; 31 March is yesterday.
    assert sorted(os.listdir(settings.restricted / "quarantine")) == NIGHTS[3:]
    old = replace(settings, retention=RetentionSettings(quarantine_days=0))
    retain(old, NOW)
    assert os.listdir(settings.restricted / "quarantine") == [NIGHTS[4]]


def test_maps_of_tokens_go_by_their_age(settings: Settings) -> None:
    maps = settings.restricted / "token_maps"
    maps.mkdir()
    for night in (NIGHTS[0], NIGHTS[4]):
        (maps / f"{night}.parquet").write_bytes(b"")
    kept(settings, RetentionSettings(token_map_days=30))
    assert os.listdir(maps) == [f"{NIGHTS[4]}.parquet"]


def test_nothing_is_removed_by_a_dry_run_or_without_a_policy(settings: Settings) -> None:
    policy = replace(settings, retention=RetentionSettings(snapshots=1))
    assert expired(policy, NOW).snapshots == tuple(NIGHTS[:4])
    assert snapshot_ids(settings.lake) == NIGHTS
    with pytest.raises(SettingsError, match=r"has no \[retention\]"):
        retain(settings)


def test_a_removal_that_was_cut_off_is_finished(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = 3

    def cut(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(retention, "sync", cut)
    with pytest.raises(KeyboardInterrupt):
        retain(replace(settings, retention=RetentionSettings(snapshots=1)), NOW)
    monkeypatch.undo()
    for name in snapshot_ids(settings.lake):
        verify_snapshot(settings, name)
    assert kept(settings, RetentionSettings(snapshots=1)) == NIGHTS[4:]
    assert list(settings.home.rglob(".*.tmp")) == []


def test_the_command_reads_its_policy_and_is_audited(settings: Settings) -> None:
    path = settings.home / "scutari.toml"
    path.write_text(path.read_text() + "\n[retention]\nsnapshots = 2\n")
    run = CliRunner().invoke(main, ["retain", "--home", str(settings.home)])
    assert run.exit_code == 0, run.output
    assert run.output.startswith("removed: 3 snapshots: ")
    done = verify_logs(settings)[0].entries[-1]
    assert (done.event, done.outcome) == ("retain", "done")
    counts = ("amended", "quarantines", "reviews", "rows", "token_maps")
    assert done.parameters == {"snapshots": 3} | dict.fromkeys(counts, 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("snapshots = 0", "at least 1"),
        ("months = 3", "how many snapshots stay"),
        ("days = 3", "unknown settings: days"),
        ("quarantine_days = -1", "whole number"),
        ("quarantine_days = true", "whole number"),
    ],
)
def test_a_policy_that_is_none_is_refused(settings: Settings, words: str, said: str) -> None:
    path = settings.home / "scutari.toml"
    path.write_text(path.read_text() + f"\n[retention]\n{words}\n")
    with pytest.raises(SettingsError, match=said):
        load_settings(settings.home)
