"""Every command that cannot do its work says so in one sentence, with exit code 1."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from governance.settings import SETTINGS_FILE
from ops.cli import main as cli

SETTINGS = '[sources.ehr]\nkind = "sqlite"\npath = "gone.sqlite"\n'
SERVER = '[sources.ehr]\nkind = "postgresql"\ndsn_file = "dsn"\n'
COMMANDS = ["run", "snapshot", "verify", "status", "build", "publish", "release open", "dashboard"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An installation that names a database which is not there, and has done nothing yet."""
    directory = tmp_path / "home"
    directory.mkdir()
    (directory / SETTINGS_FILE).write_text(SETTINGS)
    return directory


def invoke(command: str, home: Path, *options: str) -> Result:
    return CliRunner().invoke(cli.main, [*command.split(), *options, "--home", str(home)])


def invoke_as_one(command: str, home: Path) -> Result:
    """A real installation under one account, which its operator has said is meant."""
    return invoke(command, home, "--demo")


def assert_one_sentence(result: Result, *parts: str) -> None:
    assert result.exit_code == 1, result.output
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("error: ")
    assert "defect" not in result.stderr
    for part in parts:
        assert part in result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_without_settings_every_command_says_how_to_get_them(command: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert_one_sentence(
        invoke(command, home), f"There is no {SETTINGS_FILE} in {home}", "make demo", "README"
    )
    assert not home.exists()


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ("run", ("Source ehr: there is no database file", "gone.sqlite", "[sources.ehr]")),
        ("snapshot", ("Source ehr: there is no database file", "gone.sqlite", "[sources.ehr]")),
        ("verify", ("There is no snapshot in", "scutari snapshot")),
        ("verify 20260101T000000Z", ("There is no snapshot 20260101T000000Z", "scutari status")),
        ("verify ../../etc", ("There is no snapshot ../../etc", "scutari status")),
        ("build", ("There is no snapshot in", "scutari snapshot")),
        ("publish", ("Nothing was published", "scutari build")),
        ("release open", ("There is no snapshot in", "scutari snapshot")),
        ("release ../open", ("cannot name a release", "lowercase letters")),
        ("dashboard", ("Nothing has been published in", "scutari run")),
    ],
)
def test_a_step_before_its_turn_says_what_comes_first(
    command: str, parts: tuple[str, ...], home: Path
) -> None:
    assert_one_sentence(invoke_as_one(command, home), *parts)
    assert not (home / "lake" / "current").exists()
    assert not (home / "published" / "current.duckdb").exists()
    assert not (home / "release" / "open").exists()


REAL = [*COMMANDS, "audit verify", "vault rotate-key", "vault rotate-tokens"]


@pytest.mark.parametrize("command", [*REAL, f"vault lookup {'0' * 32}"])
def test_a_real_installation_without_accounts_does_nothing(command: str, home: Path) -> None:
    assert_one_sentence(invoke(command, home), SETTINGS_FILE, "names no accounts", "docs/zones.md")
    assert sorted(path.name for path in home.iterdir()) == [SETTINGS_FILE]


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"builder": "daemon"}, "the account of extractor"),
        ({"broker": "root"}, "root"),
        ({"broker": "no_such_account"}, "does not have"),
        ({"broker": "Jane Roe"}, "needs broker"),
        ({"lake_readers": "no_such_group"}, "does not have"),
        ({"analysts": "games"}, "unknown settings: analysts"),
    ],
)
def test_accounts_that_part_nothing(changes: dict[str, str], part: str, home: Path) -> None:
    names = {
        "extractor": "daemon",
        "builder": "bin",
        "release": "games",
        "dashboards": "www-data",
        "broker": "backup",
        "lake_readers": "operator",
    } | changes
    lines = [f'{key} = "{value}"' for key, value in names.items()]
    (home / SETTINGS_FILE).write_text("\n".join([SETTINGS, "[accounts]", *lines]))
    assert_one_sentence(invoke("snapshot", home), "[accounts]", part)


@pytest.mark.parametrize(
    "table",
    [
        '[roles.jane]\nrole = "king"\nhospitals = ["H1"]\n',
        '[roles.jane]\nrole = "quality_team"\nhospitals = "H1"\n',
        '[roles.jane]\nrole = "quality_team"\nhospitals = ["../H1"]\n',
        '[roles."Jane Roe"]\nrole = "quality_team"\nhospitals = ["H1"]\n',
        "[roles]\njane = 3\n",
        "[broker]\napproval_hours = 0\n",
        "[broker]\ndaily_persons = true\n",
        "[broker]\nweekly_persons = 3\n",
    ],
)
def test_roles_and_limits_that_are_wrong_name_their_file(table: str, home: Path) -> None:
    (home / SETTINGS_FILE).write_text(SETTINGS + table)
    assert_one_sentence(invoke("snapshot", home), SETTINGS_FILE)


def test_status_of_an_installation_with_nothing_is_no_error(home: Path) -> None:
    result = invoke_as_one("status", home)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "none yet: take one with `scutari snapshot`" in result.stdout


@pytest.mark.parametrize("content", [None, "", "\n", b"\xff\xfe", "unreadable"])
def test_a_connection_string_that_cannot_be_had(content: str | bytes | None, home: Path) -> None:
    (home / SETTINGS_FILE).write_text(SERVER)
    dsn = home / "dsn"
    if content == "unreadable":
        dsn.mkdir()
    elif content is not None:
        dsn.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert_one_sentence(
        invoke_as_one("snapshot", home), "Source ehr has no connection string", str(dsn), "empty"
    )


@pytest.mark.parametrize(
    "text",
    [
        "[sources.ehr\n",
        "[sources]\n",
        "sources = 3\n",
        "[sources]\nehr = 3\n",
        '[sources.ehr]\nkind = "oracle"\n',
        '[sources.ehr]\nkind = "sqlite"\n',
        '[sources.ehr]\nkind = "sqlite"\npath = 3\n',
        SETTINGS + 'password = "secret"\n',
        'synthetic = "false"\n' + SETTINGS,
        "syntetic = true\n" + SETTINGS,
    ],
)
def test_settings_that_are_wrong_name_their_file(text: str, home: Path) -> None:
    (home / SETTINGS_FILE).write_text(text)
    result = invoke("snapshot", home)
    assert_one_sentence(result, SETTINGS_FILE)
    assert "secret" not in result.output


def test_the_demo_leaves_a_real_installation_alone(home: Path) -> None:
    result = invoke("demo --no-serve", home)
    assert_one_sentence(result, "is a real installation", "--home")
    assert sorted(path.name for path in home.iterdir()) == [SETTINGS_FILE]


@pytest.mark.parametrize("place", ["lake", "vault", "restricted"])
def test_a_place_that_cannot_be_written_to(place: str, home: Path) -> None:
    sqlite3.connect(home / "gone.sqlite").close()
    (home / place).write_text("a file where a directory belongs")
    assert_one_sentence(invoke_as_one("snapshot", home), str(home / place))


def test_a_defect_is_told_without_the_value_it_stumbled_over(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(_settings: object) -> str:
        raise ValueError("Jane Roe")

    monkeypatch.setattr(cli, "_build", stumble)
    result = invoke_as_one("build", home)
    assert result.exit_code == 1
    assert "a defect of Scutari: ValueError in stumble (test_cli.py:" in result.stderr
    assert "Jane Roe" not in result.output
