"""``scutari audit``: verify, head and show."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from governance.audit.entries import parse_head
from governance.audit.log import LOG_FILE, append, audited
from governance.settings import SETTINGS_FILE, Settings
from ops.cli import main as cli
from tests.helpers.audited import folder

ONE_ACCOUNT = 'synthetic = true\n[sources.ehr]\nkind = "sqlite"\npath = "x"\n'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def invoke(settings: Settings, *command: str) -> Result:
    (settings.home / SETTINGS_FILE).write_text(ONE_ACCOUNT)
    return CliRunner().invoke(cli.main, ["audit", *command, "--home", str(settings.home)])


def test_the_commands(settings: Settings) -> None:
    for command in ("verify", "head", "show"):
        result = invoke(settings, command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("error: There is no audit log in")
        assert len(result.stderr.splitlines()) == 1
    with audited(settings, "build", is_partial=False):
        pass
    sent = invoke(settings, "head").stdout
    head = parse_head(sent.removesuffix("\n"))
    assert head is not None
    assert head.is_signed()
    file = settings.home / "heads.txt"
    file.write_text(sent)
    append(settings, "publish", {"hospitals": 6})
    file.write_text(sent + invoke(settings, "head").stdout)
    assert "All 2 heads given are in it" in invoke(settings, "verify", "--head", str(file)).stdout
    plain = invoke(settings, "verify")
    assert plain.exit_code == 0
    assert "4 entries" in plain.stdout
    assert "No earlier head was given" in plain.stdout
    shown = invoke(settings, "show").stdout.splitlines()
    assert len(shown) == 4
    assert shown[1].endswith("build begun is_partial=false")
    assert shown[2].endswith("build done (of 2)")
    assert invoke(settings, "show", "--since", "2999-01-01").stdout == ""
    assert invoke(settings, "show", "--since", "2000-01-01").stdout.splitlines() == shown


@pytest.mark.parametrize("content", [None, "", "\n", "Jane Roe\n", "é", "changed"])
def test_a_head_file_that_is_none_is_one_sentence(settings: Settings, content: str | None) -> None:
    append(settings, "build", {})
    file = settings.home / "heads.txt"
    if content == "changed":
        content = invoke(settings, "head").stdout.replace(" 2 ", " 3 ")
    if content is not None:
        file.write_text(content)
    result = invoke(settings, "verify", "--head", str(file))
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(result.stderr.splitlines()) == 1
    assert str(file) in result.stderr
    assert "Jane" not in result.stderr


def test_a_damaged_log_shows_what_is_sound_and_gives_no_head(settings: Settings) -> None:
    append(settings, "build", {})
    append(settings, "publish", {})
    path = folder(settings) / LOG_FILE
    path.write_bytes(path.read_bytes().replace(b'"build"', b'"buiId"'))
    shown = invoke(settings, "show")
    assert shown.exit_code == 1
    assert [line.split()[3] for line in shown.stdout.splitlines()] == ["log_opened", "publish"]
    assert "line 2 was changed or is no entry" in shown.stderr
    head = invoke(settings, "head")
    assert (head.exit_code, head.stdout) == (1, "")
