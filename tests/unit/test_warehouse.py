"""A build has the warehouse to itself, and starts from files that are as they were written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from governance.errors import BuildError, SnapshotError
from governance.settings import Settings
from ops.warehouse import current_snapshot, held
from tests.helpers.small_snapshot import FILE, NAME, small_settings, write_snapshot


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = small_settings(tmp_path)
    write_snapshot(made)
    return made


def test_a_second_build_is_refused_and_the_next_is_not(settings: Settings) -> None:
    with held(settings), pytest.raises(BuildError, match="Another build or release is writing"):
        with held(settings):
            pass
    with held(settings):
        pass


def test_a_child_keeps_the_lock_of_a_parent_that_was_killed(settings: Settings) -> None:
    with held(settings) as lock:
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock]
        )
    with pytest.raises(BuildError, match="Another build"), held(settings):
        pass
    child.communicate(b"\n")
    with held(settings):
        pass


def test_a_warehouse_that_is_open_elsewhere_is_not_touched(settings: Settings) -> None:
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(settings.warehouse)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
    with pytest.raises(BuildError, match="close the program that has it open"), held(settings):
        pass
    child.communicate(b"\n")
    with held(settings):
        pass


def test_looking_whether_the_warehouse_is_free_does_not_change_it(settings: Settings) -> None:
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute("create table a as select 1 as b")
    before = os.stat(settings.warehouse)
    with held(settings):
        pass
    after = os.stat(settings.warehouse)
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_a_snapshot_that_lost_a_file_is_not_built_from(settings: Settings) -> None:
    assert current_snapshot(settings) == NAME
    (settings.lake / NAME / FILE).unlink()
    with pytest.raises(SnapshotError, match=f"{FILE} is missing"):
        current_snapshot(settings)


def test_a_build_needs_nothing_of_the_vault(settings: Settings) -> None:
    shutil.rmtree(settings.vault)
    assert current_snapshot(settings) == NAME
