"""Which rule joins registrations is a setting, and a wrong one is a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from governance.errors import SettingsError
from governance.settings import load_settings

HEAD = '[sources.ehr]\nkind = "sqlite"\npath = "e.sqlite"\n'


@pytest.mark.parametrize(
    ("body", "method"),
    [
        ("", "probabilistic"),
        ('[matching]\nmethod = "probabilistic"\n', "probabilistic"),
        ('[matching]\nmethod = "deterministic"\n', "deterministic"),
    ],
)
def test_registrations_are_matched_by_probability_unless_told(
    tmp_path: Path, body: str, method: str
) -> None:
    (tmp_path / "scutari.toml").write_text(HEAD + body)
    assert load_settings(tmp_path).matching == method


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (HEAD + '[matching]\nmethod = "guess"\n', "probabilistic"),
        (HEAD + "[matching]\nthreshold = 9\n", "one setting: method"),
        ("matching = 1\n" + HEAD, "one setting: method"),
    ],
)
def test_a_method_that_there_is_not(tmp_path: Path, body: str, sentence: str) -> None:
    (tmp_path / "scutari.toml").write_text(body)
    with pytest.raises(SettingsError, match=sentence):
        load_settings(tmp_path)
