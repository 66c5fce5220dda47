"""The warehouse encrypted by DuckDB: refused where that cannot be had, unreadable without its key.

DuckDB writes encrypted files only with its httpfs extension, which is no part of its wheel. One
test lets DuckDB's own cipher stand in for it, which nothing but this test switches on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from governance.errors import BuildError, KeyFileError, SettingsError
from governance.settings import PROJECT_ROOT, SETTINGS_FILE, Settings, load_settings
from ops.build import run_build
from ops.encryption import attach_warehouse
from ops.warehouse import held
from tests.helpers.dbt import run_dbt

pytestmark = pytest.mark.integration

STAND_IN = """
import sys
import ops.encryption
ops.encryption.load_httpfs = lambda con, _: con.execute("set force_mbedtls_unsafe = true")
from dbt.cli.main import dbtRunner
sys.exit(0 if dbtRunner().invoke(sys.argv[1:]).success else 1)
"""


@pytest.fixture
def settings(demo_home: Path, tmp_path: Path) -> Settings:
    """A home of its own over the shared demo's lake, with a warehouse that is to be encrypted."""
    (tmp_path / "lake").symlink_to(demo_home / "lake")
    text = (demo_home / SETTINGS_FILE).read_text(encoding="utf-8")
    key = tmp_path / "keys" / "warehouse.key"
    text += f'\n[warehouse]\nkey_file = "{key}"\nhttpfs = "no/httpfs.duckdb_extension"\n'
    (tmp_path / SETTINGS_FILE).write_text(text, encoding="utf-8")
    return load_settings(tmp_path)


def build(settings: Settings, *select: str) -> str:
    command = ["run", "--target", "encrypted", "--select", *select]
    environment = os.environ | {
        "SCUTARI_HOME": str(settings.home),
        "DBT_PROFILES_DIR": str(PROJECT_ROOT),
        "DBT_TARGET_PATH": str(settings.home / "target"),
        "DBT_LOG_PATH": str(settings.home / "logs"),
    }
    done = subprocess.run(
        [sys.executable, "-c", STAND_IN, *command],
        cwd=PROJECT_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout + done.stderr


def test_without_the_extension_nothing_is_written(settings: Settings) -> None:
    refusal = "no/httpfs.duckdb_extension holds no httpfs extension for DuckDB"
    with pytest.raises(SettingsError, match=refusal):
        run_build(settings)
    done = run_dbt(settings.home, settings.home / "target", "run", "--target", "encrypted")
    assert done.exit_code != 0
    assert refusal in " ".join(done.output.split())
    assert not settings.warehouse.exists()
    assert settings.encryption is not None
    assert not settings.encryption.key_file.exists()


def test_a_target_without_a_key_is_refused(settings: Settings) -> None:
    plain = replace(settings, encryption=None)
    with pytest.raises(SettingsError, match=r"write \[warehouse\] with key_file into"):
        run_build(plain, target="encrypted")


def test_a_built_warehouse_opens_with_its_key_alone(settings: Settings) -> None:
    said = build(settings, "stg_ehr__hospitals")
    content = settings.warehouse.read_bytes()
    with duckdb.connect() as connection:
        attach_warehouse(connection, settings)
        query = "select hospital_name from warehouse.staging.stg_ehr__hospitals"
        names = {str(name) for (name,) in connection.execute(query).fetchall()}
    assert len(names) > 2
    assert not any(name.encode() in content for name in names)
    with pytest.raises(duckdb.Error, match="without a key"):
        duckdb.connect(str(settings.warehouse))
    assert settings.encryption is not None
    key_file = settings.encryption.key_file
    assert key_file.stat().st_mode & 0o777 == 0o600
    for path in settings.home.rglob("*"):
        if path.is_file() and path != key_file:
            assert key_file.read_bytes().hex() not in path.read_text(errors="replace")
    with held(settings):
        pass
    key_file.write_bytes(os.urandom(32))
    with pytest.raises(BuildError, match="cannot be opened"), held(settings):
        pass
    key_file.unlink()
    with pytest.raises(KeyFileError, match="is missing: restore it"), held(settings):
        pass
    assert "unsafe" not in said
