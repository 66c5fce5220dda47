"""A wrong cohort definition stops the build before any model is made, naming its file.

One copy of the project, one wrong file for every mistake, one build: the lint lists them all.
"""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from governance.settings import PROJECT_ROOT

Definition = dict[str, Any]

RIGHT: Definition = {
    "code": "right",
    "version": 1,
    "status": "draft",
    "source": "a test",
    "code_sets": {"diabetes": {"icd10_prefixes": ["E11"]}},
    "entry": {
        "event": "diagnosis",
        "code_set": "diabetes",
        "take": "first",
        "first_taken": "before_rules",
    },
    "prior_observation_days": 365,
    "washout_days": 365,
    "rules": [
        {"name": "adult", "age": {"minimum_years": 18, "maximum_years": 18}},
        {"name": "women", "sex": ["F"]},
        {"name": "seen_again", "event": "ed_visit", "from_day": 1, "to_day": 1, "at_least": 1},
    ],
    "exit": {"after_days": 1},
    "collapse_gap_days": 0,
}


def _set(*path: Any, to: Any) -> Callable[[Definition], None]:
    def change(definition: Definition) -> None:
        place: Any = definition
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return change


def _unset(*path: Any) -> Callable[[Definition], None]:
    def change(definition: Definition) -> None:
        place: Any = definition
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return change


WRONG: dict[str, tuple[Callable[[Definition], None], str]] = {
    "unknown_key": (_set("rulse", to=[]), "the definition has the unknown key rulse"),
    "unknown_rule_key": (_set("rules", 2, "withn", to=1), "rule seen_again has the unknown key"),
    "no_version": (_unset("version"), "version must be a whole number from 1"),
    "wrong_status": (_set("status", to="final"), "status must be draft, accepted or withdrawn"),
    "no_source": (_unset("source"), "source is missing"),
    "empty_code_set": (_set("code_sets", "diabetes", to={}), "code set diabetes is empty"),
    "empty_list": (
        _set("code_sets", "diabetes", "icd10_prefixes", to=[]),
        "code set diabetes is empty",
    ),
    "unused_code_set": (
        _set("code_sets", "asthma", to={"icd10_prefixes": ["J45"]}),
        "code set asthma is not used",
    ),
    "dotted_code": (
        _set("code_sets", "diabetes", "icd10_prefixes", to=["E11.9"]),
        "code set diabetes holds E11.9",
    ),
    "missing_code_set": (
        _set("entry", "code_set", to="asthma"),
        "entry.code_set names no code set of the definition",
    ),
    "unknown_event": (_set("entry", "event", to="visit"), "entry.event must be diagnosis"),
    "unknown_rule_event": (_set("rules", 2, "event", to="visit"), "rule seen_again.event must be"),
    "reversed_window": (
        _set("rules", 2, "from_day", to=2),
        "rule seen_again can never hold: from_day is after to_day",
    ),
    "reversed_count": (
        _set("rules", 2, "at_most", to=0),
        "rule seen_again can never hold: at_least is after at_most",
    ),
    "reversed_age": (
        _set("rules", 0, "age", "minimum_years", to=19),
        "rule adult can never hold: minimum_years is after maximum_years",
    ),
    "idle_rule": (_set("rules", 2, "at_least", to=0), "rule seen_again holds for everybody"),
    "no_count": (_unset("rules", 2, "at_least"), "rule seen_again needs at_least or at_most"),
    "duplicate_rule": (_set("rules", 1, "name", to="adult"), "bear the name adult"),
    "reserved_rule": (_set("rules", 1, "name", to="washout"), "bear the name washout"),
    "two_kinds": (_set("rules", 1, "age", to={"minimum_years": 1}), "rule women must be exactly"),
    "first_of_what": (_unset("entry", "first_taken"), "entry.first_taken must be before_rules or"),
    "first_of_all": (_set("entry", "take", to="all"), "entry.first_taken contradicts take: all"),
    "blind_washout": (
        _set("prior_observation_days", to=364),
        "washout_days exceed prior_observation_days",
    ),
    "text_for_days": (_set("washout_days", to="365"), "washout_days must be a whole number"),
    "two_exits": (_set("exit", "at", to="end_of_observation"), "exit needs either at or"),
    "no_exit": (_unset("exit"), "exit needs either at or after_days"),
    "no_sex": (_set("rules", 1, "sex", to=[]), "rule women.sex must be a list"),
    "setting_of_a_visit": (
        _set("rules", 2, "setting", to="inpatient"),
        "rule seen_again.setting belongs to diagnosis events only",
    ),
    "other_name": (_set("code", to="another"), "bear different names"),
}


def _write(folder: Path, name: str, definition: Definition) -> None:
    exposure = {
        "name": name,
        "label": name,
        "type": "analysis",
        "owner": {"name": "a test"},
        "description": "A test.",
        "depends_on": ["ref('fct_cohort_members')"],
        "config": {"meta": {"cohort": definition}},
    }
    body = {"version": 2, "exposures": [exposure]}
    (folder / f"{name}.yml").write_text(yaml.safe_dump(body, sort_keys=False))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    shutil.copy(PROJECT_ROOT / "profiles.yml", root)
    settings = yaml.safe_load((PROJECT_ROOT / "dbt_project.yml").read_text())
    # The lint comes before any data: this project has no sources to register.
    settings["on-run-start"] = [hook for hook in settings["on-run-start"] if "lint" in hook]
    (root / "dbt_project.yml").write_text(yaml.safe_dump(settings))
    shutil.copytree(PROJECT_ROOT / "macros", root / "macros")
    (root / "models").mkdir()
    (root / "models" / "fct_cohort_members.sql").write_text("select 1 as one")
    (root / "cohorts").mkdir()
    return root


def _build(project: Path) -> subprocess.CompletedProcess[str]:
    home = project / "home"
    (home / "restricted").mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "SCUTARI_HOME": str(home),
        "DBT_PROFILES_DIR": str(project),
        "DBT_TARGET_PATH": str(project / "target"),
        "DBT_LOG_PATH": str(project / "logs"),
    }
    command = [sys.executable, "-m", "dbt.cli.main", "--no-use-colors", "build", "--quiet"]
    return subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.integration
def test_each_mistake_is_named_with_its_file_and_nothing_is_built(project: Path) -> None:
    for old in (project / "cohorts").iterdir():
        old.unlink()
    _write(project / "cohorts", "right", RIGHT)
    for name, (change, _) in WRONG.items():
        definition = copy.deepcopy(RIGHT) | {"code": name}
        change(definition)
        _write(project / "cohorts", name, definition)

    result = _build(project)

    assert result.returncode != 0
    lines = (result.stdout + result.stderr).splitlines()
    for name, (_, message) in WRONG.items():
        found = [line for line in lines if f"cohorts/{name}.yml: " in line]
        assert len(found) >= 1, f"{name}: nothing was said"
        assert any(message in line for line in found), f"{name}: {found}"
    assert not [line for line in lines if "cohorts/right.yml" in line]
    assert "OK created" not in result.stdout


@pytest.mark.integration
def test_a_right_definition_builds(project: Path) -> None:
    for old in (project / "cohorts").iterdir():
        old.unlink()
    _write(project / "cohorts", "right", RIGHT)
    result = _build(project)
    assert result.returncode == 0, result.stdout + result.stderr
