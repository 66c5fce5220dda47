"""The real project is clean, and every leak somebody thought of is refused with its path."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.settings import PROJECT_ROOT
from ops.cli import main as cli
from ops.privacy import check as privacy_check
from ops.privacy import page as privacy_page
from ops.privacy.check import Lineage, trace_project
from ops.privacy.page import PAGE
from ops.privacy.page import privacy_page as page_of
from ops.privacy.project import Model, Project, read_project
from ops.privacy.rules import LOWERINGS, MARKER, ZONES
from tests.privacy.conftest import Manifests
from tests.privacy.leaks import CANNOT_BE_FOLLOWED, CLEAN, LEAKS, PATIENTS, Leak

PUBLISHED = "published"


def with_models(project: Project, models: dict[str, str], schema: str = PUBLISHED) -> Project:
    """The project with models put in, or in the place of those of the same name."""
    planted = {
        (schema, name): Model(schema, name, f"models/{schema}/{name}.sql", sql)
        for name, sql in models.items()
    }
    return Project(project.models | planted, project.tables, list(project.faults))


@pytest.fixture(scope="module")
def lineage(project: Project) -> Lineage:
    return trace_project(project)


@pytest.fixture(scope="module")
def planted(project: Project) -> Lineage:
    """Every leak at once: one that hides another would be seen by its own test."""
    leaks = {leak.name: leak.sql for leak in LEAKS}
    unknown = {name: sql for name, (sql, _) in CANNOT_BE_FOLLOWED.items()}
    return trace_project(with_models(project, leaks | unknown | CLEAN))


def about(lineage: Lineage, name: str) -> list[str]:
    """The findings about one planted model."""
    named = re.compile(rf"(rows of )?{PUBLISHED}\.{name}[. ]|models/{PUBLISHED}/{name}\.sql ")
    return [finding for finding in lineage.findings if named.match(finding)]


def test_the_project_is_clean(lineage: Lineage) -> None:
    assert lineage.findings == []
    assert {table.zone for table in lineage.tables} == set(ZONES) - {"limited"}
    assert len(lineage.tables) > 20


def test_the_page_of_columns_is_up_to_date(lineage: Lineage) -> None:
    assert PAGE.read_text(encoding="utf-8") == page_of(lineage), (
        "run `scutari privacy check --write-docs`"
    )


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.name)
def test_a_leak_is_refused_with_its_path(leak: Leak, planted: Lineage) -> None:
    found = [text for text in about(planted, leak.name) if text.startswith(leak.finding)]
    assert len(found) == 1, about(planted, leak.name)
    assert leak.path in found[0]


@pytest.mark.parametrize("name", CANNOT_BE_FOLLOWED)
def test_what_cannot_be_followed_is_refused(name: str, planted: Lineage) -> None:
    _, reason = CANNOT_BE_FOLLOWED[name]
    if not reason:
        assert not [t for t in planted.tables if t.name == name]  # reads itself: holds nothing
        return
    found = about(planted, name)
    assert len(found) == 1, found
    assert reason in found[0]


@pytest.mark.parametrize("name", CLEAN)
def test_what_may_be_published_is_not_refused(name: str, planted: Lineage) -> None:
    assert about(planted, name) == []
    assert [table for table in planted.tables if table.name == name]


def test_a_plant_changes_nothing_elsewhere(lineage: Lineage, planted: Lineage) -> None:
    names = {table.name for table in lineage.tables}
    kept = [table for table in planted.tables if table.name in names]
    assert page_of(Lineage(kept)) == page_of(lineage)


UNRELATED = st.lists(
    st.sampled_from(["1", "'x'", "null", "registrations_count", "count(*) over ()", "1 + 1"]),
    max_size=4,
)


@settings(max_examples=15, deadline=None)
@given(before=UNRELATED, after=UNRELATED, leaks=st.booleans())
def test_an_unrelated_column_changes_nothing(
    before: list[str], after: list[str], leaks: bool, project: Project
) -> None:
    told = "birth_on" if leaks else "registrations_count"
    parts = [f"{part} as before_{place}" for place, part in enumerate(before)]
    parts += [f"{told} as told", *(f"{part} as after_{n}" for n, part in enumerate(after))]
    small = Project(project.models, project.tables)
    alone = privacy_check.follow_model(
        with_models(small, {"one": f"select {told} as told from {PATIENTS}"}), PUBLISHED, "one"
    )
    among = privacy_check.follow_model(
        with_models(small, {"one": f"select {', '.join(parts)} from {PATIENTS}"}), PUBLISHED, "one"
    )
    assert dict(among.columns)["told"] == dict(alone.columns)["told"]
    assert bool(dict(alone.columns)["told"].value) == leaks


# --- planted in what the project has


def test_a_leak_in_a_real_model_is_refused(project: Project) -> None:
    real = project.models[PUBLISHED, "rpt_member_months"]
    assert "    payer_key,\n        product_code," in real.sql
    leaking = real.sql.replace("        product_code,", "        product_code,\n    day_on,", 1)
    leaking = leaking.replace(
        "with member_months as (",
        'with days as (select min(birth_on) as day_on from "memory"."core"."dim_patients"),\n'
        "member_months as (",
        1,
    ).replace("from flagged", "from flagged cross join days", 1)
    findings = trace_project(with_models(project, {"rpt_member_months": leaking})).findings
    assert [
        text for text in findings if text.startswith("published.rpt_member_months.day_on holds")
    ]


def test_an_upstream_model_that_leaks_is_found_where_it_leaves(project: Project) -> None:
    real = project.models["core", "dim_payers"]
    leaking = real.sql.replace(
        "payer_name\n    from payers",
        "(select max(birth_on) from core.dim_patients) as payer_name\n    from payers",
    )
    assert leaking != real.sql
    findings = trace_project(with_models(project, {"dim_payers": leaking}, "core")).findings
    # Two: the birth date, and the dates of death that chose the rows it is taken from.
    assert {text.split(" holds ")[0] for text in findings} == {"published.dim_payers.payer_name"}
    assert (
        "published.dim_payers.payer_name <- core.dim_payers.payer_name (value) <- core.dim_p"
        in (findings[0])
    )


def test_a_hospitals_own_file_is_held_to_its_zone(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = "select hospital_key, arrived_at from warehouse.core.fct_ed_visits"
    monkeypatch.setitem(privacy_check.OWN_TABLES, "rpt_worklist", own)
    findings = trace_project(project).findings
    assert len(findings) == 1
    assert findings[0].startswith(
        "operational.rpt_worklist.arrived_at holds date by value: "
        "operational.rpt_worklist.arrived_at <- core.fct_ed_visits.arrived_at (value) <- "
    )


@pytest.mark.parametrize(
    ("column", "finding"),
    [
        ("person_key as person_number", "release.release_patients.person_number holds person_key"),
        ("left_out.birth_on as born", "release.release_patients.born holds birth_date by value"),
        ("left_out.birth_year", "release.release_patients.birth_year holds birth_date by value"),
        ("left_out.zip3 as area", "release.release_patients.area holds zip3 past zip3_of by value"),
    ],
)
def test_a_release_is_held_to_its_zone(project: Project, column: str, finding: str) -> None:
    sql = (
        f"select persons.person_key, {column.replace('person_key as', 'persons.person_key as')} "
        'from "memory"."intermediate"."int_release__persons" as persons '
        f"left join {PATIENTS} as left_out on persons.person_key = left_out.person_key"
    )
    findings = trace_project(with_models(project, {"release_patients": sql}, "research")).findings
    assert [text for text in findings if text.startswith(finding)], findings
    assert not [text for text in findings if "release_patients.person_key holds" in text]


def test_keys_of_a_release_are_drawn_numbers(lineage: Lineage) -> None:
    keys = [
        flow
        for table in lineage.tables
        if table.zone == "release"
        for name, flow in table.relation.columns
        if name.endswith("_key")
    ]
    assert len(keys) >= 4
    assert not any(flow.value for flow in keys)
    # Which number it is, the old key decides in the join, and nothing else.
    chosen_by = {fact.privacy for flow in keys for fact in flow.choice}
    assert chosen_by == {"person_key", "record_key"}


# --- what no SQL shows

Change = Callable[[dict[str, Any], dict[str, Any]], None]
MODEL = "model.scutari.published__dim_payers"


def changed(manifests: Manifests, change: Change) -> Project:
    """The project after a change to both manifests of it."""
    plain, marked = (
        manifest | {"nodes": dict(manifest["nodes"]), "macros": dict(manifest["macros"])}
        for manifest in manifests
    )
    for manifest in (plain, marked):
        manifest["nodes"][MODEL] = copy.deepcopy(manifest["nodes"][MODEL])
    change(plain, marked)
    return read_project(PROJECT_ROOT, plain, marked)


def _node(key: str, value: Any) -> Change:
    def change(plain: dict[str, Any], marked: dict[str, Any]) -> None:
        for manifest in (plain, marked):
            manifest["nodes"][MODEL][key] = value

    return change


def _config(key: str, value: Any) -> Change:
    def change(plain: dict[str, Any], marked: dict[str, Any]) -> None:
        for manifest in (plain, marked):
            manifest["nodes"][MODEL]["config"][key] = value

    return change


def _hidden_from_the_check(plain: dict[str, Any], _marked: dict[str, Any]) -> None:
    node = plain["nodes"][MODEL]
    node["compiled_code"] = node["compiled_code"].replace("payer_name", "payer_key as payer_name")


def _calls_lowered(_plain: dict[str, Any], marked: dict[str, Any]) -> None:
    marked["nodes"][MODEL]["depends_on"]["macros"].append("macro.scutari.lowered")


BY_HAND = f"select {MARKER}('age_band', birth_on) as age from {PATIENTS}"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_node("language", "python"), "is written in python"),
        (_config("materialized", "incremental"), "is incremental"),
        (_config("post-hook", [{"sql": "insert into x select 1"}]), "runs a hook"),
        (_config("sql_header", "create table x as select 1;"), "runs a hook"),
        (_node("compiled_code", BY_HAND), f"writes the marker {MARKER} itself"),
        (_node("raw_code", BY_HAND), f"writes the marker {MARKER} itself"),
        (_node("raw_code", "{% if target.name == 'duckdb' %}x{% endif %}"), "asks which run"),
        (_node("raw_code", "select '{{ env_var(\"X\") }}'"), "asks which run"),
        (_node("raw_code", "{{ var('privacy_lineage', false) }}"), "asks which run"),
        (_calls_lowered, "calls the macro lowered itself"),
        (_hidden_from_the_check, "compiles to other SQL"),
    ],
)
def test_a_model_that_cannot_be_shown_is_refused(
    manifests: Manifests, change: Change, reason: str
) -> None:
    refusal = changed(manifests, change).models[PUBLISHED, "dim_payers"].refusal
    assert refusal is not None
    assert refusal.startswith(reason)


def test_a_refused_model_fails_the_check(manifests: Manifests) -> None:
    findings = trace_project(changed(manifests, _node("language", "python"))).findings
    assert len(findings) == 1, findings
    assert findings[0].startswith(
        "models/published/published__dim_payers.sql is written in python, whose columns cannot be "
        "followed: write it so"
    )


def test_only_declared_macros_may_mark(manifests: Manifests) -> None:
    def change(_plain: dict[str, Any], marked: dict[str, Any]) -> None:
        source = marked["macros"]["macro.scutari.year_of"]
        marked["macros"]["macro.scutari.just_trust_me"] = source | {"name": "just_trust_me"}
        marked["macros"]["macro.scutari.age_band"] = marked["macros"]["macro.scutari.age_band"] | {
            "depends_on": {"macros": []}
        }

    faults = changed(manifests, change).faults
    assert [fault.split(" (")[0] for fault in faults][:1] == ["The macro just_trust_me"]
    assert faults[1].startswith("The macro age_band is declared to lower a class and marks nothing")
    assert len(faults) == 2


def test_a_shifted_date_is_for_a_limited_release_alone(limited_manifests: Manifests) -> None:
    limited = read_project(PROJECT_ROOT, *limited_manifests)
    assert trace_project(replace(limited, release_zone="limited")).findings == []
    findings = trace_project(limited).findings
    name = "release.release_ed_visits.arrived_on holds shifted_date past shifted_date by value"
    assert any(finding.startswith(name) for finding in findings)


def test_markers_stand_in_no_ordinary_build(
    manifests: Manifests, limited_manifests: Manifests
) -> None:
    plain, marked, limited = (
        {
            key: node["compiled_code"]
            for key, node in manifest["nodes"].items()
            if node["resource_type"] == "model"
        }
        for manifest in (*manifests, limited_manifests[1])
    )
    assert not [key for key, sql in plain.items() if MARKER in sql]
    texts = [*marked.values(), *limited.values()]
    used = {macro for sql in texts for macro in re.findall(rf"{MARKER}\('(\w+)'", sql)}
    assert used == set(LOWERINGS), "a lowering macro that no model uses: take it out"


@pytest.mark.parametrize("privacy", ["mystery", "sensitive", "None"])
def test_a_class_without_a_rule_may_enter_no_zone(project: Project, privacy: str) -> None:
    place = ("lake_billing", "payers")
    label, classes = project.tables[place]
    tables = project.tables | {place: (label, classes | {"payer_name": privacy})}
    findings = trace_project(replace(project, tables=tables)).findings
    assert f"published.dim_payers.payer_name holds {privacy} by value" in findings[0]


# --- the command


def test_the_command_says_what_it_looked_at(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privacy_page, "load_project", lambda **_: project)
    monkeypatch.setattr(privacy_page, "other_profiles", list)
    result = CliRunner().invoke(cli.main, ["privacy", "check"])
    assert result.exit_code == 0, result.output
    assert re.search(r"\d+ models followed; \d+ columns of \d+ tables", result.stdout)


def test_the_command_prints_the_path_of_a_leak(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    leak = LEAKS[0]
    changed_project = with_models(project, {leak.name: leak.sql})
    asked: list[str] = []

    def load(profile: str = "open") -> Project:
        asked.append(profile)
        return changed_project if profile == "limited" else project

    monkeypatch.setattr(privacy_page, "load_project", load)
    monkeypatch.setattr(privacy_page, "other_profiles", lambda: ["limited"])
    result = CliRunner().invoke(cli.main, ["privacy", "check"])
    assert result.exit_code == 1
    assert leak.path in result.stderr
    assert "defect" not in result.stderr
    assert asked == ["open", "limited"], "a leak under another profile alone is one, too"
