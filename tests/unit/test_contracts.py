"""Every fault of a dbt source file is told with its file and line, and all of them at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from extract.contract_files import load_contracts
from extract.contracts import operational_contracts
from governance.errors import ContractError
from governance.settings import PROJECT_ROOT

HEAD = """\
version: 2
sources:
  - name: ehr
    config: {meta: {is_operational: true}}
    tables:
      - name: visits
        config: {meta: {primary_key: visit_id, cursor: updated_at}}
        columns:
          - name: visit_id
            data_type: string
            config: {meta: {privacy: record_key, key_domain: ehr.visit, source_type: bigint}}
          - name: updated_at
            data_type: timestamp
            config: {meta: {privacy: administrative}}
"""
FIRST_LINE = 15
FILE = "models/staging/ehr/_ehr__sources.yml"


def _project(root: Path, text: str, name: str = "_ehr__sources.yml") -> Path:
    folder = root / "models" / "staging" / "ehr"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    codes = root / "seeds" / "code_systems"
    codes.mkdir(parents=True, exist_ok=True)
    (codes / "sex.csv").write_text("code,name,source\nF,Female,x\n", encoding="utf-8")
    return root


def _faults(root: Path, text: str) -> list[str]:
    with pytest.raises(ContractError) as caught:
        load_contracts(_project(root, text))
    return str(caught.value).split("\n")


def _column(**meta: str) -> str:
    data_type = meta.pop("data_type", "string")
    name = meta.pop("name", "extra")
    body = ", ".join(f"{key}: {value}" for key, value in meta.items())
    return (
        f"          - name: {name}\n            data_type: {data_type}\n"
        f"            config: {{meta: {{{body}}}}}\n"
    )


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (
            _column(source_type="string"),
            "column ehr.visits.extra has no privacy class (config.meta.privacy).",
        ),
        (
            _column(privacy="public"),
            "column ehr.visits.extra has the unknown privacy class public.",
        ),
        (
            _column(privacy="clinical", data_type="money"),
            "column ehr.visits.extra has the data_type money: unknown.",
        ),
        (
            _column(privacy="clinical", data_type='"decimal(39,2)"'),
            "column ehr.visits.extra has the data_type decimal(39,2): unknown.",
        ),
        (
            _column(privacy="clinical", source_type="blob"),
            "column ehr.visits.extra has the source_type blob: unknown.",
        ),
        (
            _column(privacy="clinical", data_type=""),
            "column ehr.visits.extra has the data_type (none): unknown.",
        ),
        (
            _column(privacy="record_key", source_type="bigint"),
            "column ehr.visits.extra is a record_key without a key_domain.",
        ),
        (
            _column(privacy="person_key", key_domain="", source_type="bigint"),
            "column ehr.visits.extra is a person_key without a key_domain.",
        ),
        (
            _column(privacy="record_key", key_domain="x", source_type="date"),
            "column ehr.visits.extra is a record_key: its data_type must be string (the token) and "
            "its source_type string, int or bigint.",
        ),
        (
            _column(privacy="clinical", code_system="sex", is_token="true"),
            "column ehr.visits.extra holds tokens: it must be a key of type string.",
        ),
        (
            _column(privacy="record_key", key_domain="x.y", source_type="int", is_token="true"),
            "column ehr.visits.extra holds tokens: it must be a key of type string.",
        ),
        (
            _column(privacy="record_key", key_domain="ehr.visit", is_token="true"),
            "column ehr.visits.extra holds tokens of its own source's key domain.",
        ),
        (
            _column(privacy="record_key", key_domain="x.y", is_token="maybe"),
            "is_token of column ehr.visits.extra is neither true nor false.",
        ),
        (
            _column(privacy="record_key", key_domain="x", data_type="bigint"),
            "column ehr.visits.extra is a record_key: its data_type must be string (the token) and "
            "its source_type string, int or bigint.",
        ),
        (
            _column(privacy="clinical", data_type="int", source_type="bigint"),
            "column ehr.visits.extra cannot turn bigint into int.",
        ),
        (
            _column(privacy="clinical", code_system="colour"),
            "column ehr.visits.extra names the unknown code system colour: there is no "
            "seeds/code_systems/colour.csv.",
        ),
        (
            _column(privacy="clinical", code_system="sex", code_pattern="'^F$'"),
            "column ehr.visits.extra has both a code_system and a code_pattern.",
        ),
        (
            _column(privacy="clinical", code_system="sex", data_type="int"),
            "column ehr.visits.extra holds codes and is no string.",
        ),
        (
            _column(privacy="clinical", code_pattern="'['"),
            "column ehr.visits.extra has a code_pattern that is no expression.",
        ),
        (
            _column(privacy="clinical", code_system="ehr.wards"),
            "column ehr.visits.extra names the codes of ehr.wards, which is no operational table.",
        ),
        (
            _column(privacy="clinical", code_system="ehr.visits"),
            "column ehr.visits.extra names the codes of ehr.visits, whose primary key has no "
            "code_pattern.",
        ),
        (
            _column(privacy="clinical", code_system="sex", is_required="maybe"),
            "is_required of column ehr.visits.extra is neither true nor false.",
        ),
        (
            _column(privacy="clinical", time_zone="Mars/Olympus", data_type="timestamp"),
            "column ehr.visits.extra names the unknown time zone Mars/Olympus.",
        ),
        (
            _column(privacy="clinical", time_zone="UTC"),
            "column ehr.visits.extra has a time_zone and is no timestamp.",
        ),
        (
            _column(privacy="clinical", privat="yes"),
            "column ehr.visits.extra has the unknown setting privat in config.meta.",
        ),
        (
            _column(privacy="clinical", name="updated_at"),
            "column ehr.visits.updated_at is declared twice.",
        ),
        (
            _column(privacy="clinical", name="Updated"),
            "a column of ehr.visits has no name of lower-case letters, digits and _.",
        ),
    ],
)
def test_a_column_s_fault_is_told_with_file_and_line(
    tmp_path: Path, column: str, sentence: str
) -> None:
    assert _faults(tmp_path, HEAD + column) == [f"{FILE}:{FIRST_LINE}: {sentence}"]


@pytest.mark.parametrize(
    ("meta", "sentence"),
    [
        ("cursor: updated_at", "table ehr.visits has no primary_key in config.meta."),
        ("primary_key: visit_id", "table ehr.visits has no cursor in config.meta."),
        (
            "primary_key: id, cursor: updated_at",
            "primary_key id of table ehr.visits is not one of its columns.",
        ),
        (
            "primary_key: visit_id, cursor: visit_id",
            "cursor visit_id of table ehr.visits is no timestamp.",
        ),
        (
            "primary_key: visit_id, cursor: updated_at, partition_by: visit_id",
            "partition_by visit_id of table ehr.visits is no timestamp or date.",
        ),
    ],
)
def test_a_table_s_fault_is_told_with_file_and_line(
    tmp_path: Path, meta: str, sentence: str
) -> None:
    text = HEAD.replace("primary_key: visit_id, cursor: updated_at", meta)
    assert _faults(tmp_path, text) == [f"{FILE}:6: {sentence}"]


def test_a_primary_key_that_stays_out_of_the_lake_is_refused(tmp_path: Path) -> None:
    text = HEAD.replace("primary_key: visit_id", "primary_key: health_number")
    text += _column(name="health_number", privacy="identifier")
    assert _faults(tmp_path, text) == [
        f"{FILE}:6: primary_key health_number of table ehr.visits does not go to the lake."
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "sentence"),
    [
        (
            "- name: ehr\n",
            "- name: ../ehr\n",
            3,
            "a source has no name of lower-case letters, digits and _.",
        ),
        (
            "- name: visits\n",
            "- name: 1visits\n",
            6,
            "a table has no name of lower-case letters, digits and _.",
        ),
        (
            "is_operational: true",
            "is_operational: yes",
            3,
            "is_operational of source ehr is neither true nor false.",
        ),
        (
            "privacy: administrative",
            "privacy: identifier, privacy: administrative",
            14,
            "privacy stands here a second time.",
        ),
    ],
)
def test_a_wrong_word_is_told_with_file_and_line(
    tmp_path: Path, old: str, new: str, line: int, sentence: str
) -> None:
    assert _faults(tmp_path, HEAD.replace(old, new)) == [f"{FILE}:{line}: {sentence}"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("sources: ehr\n", "1: sources is not a list."),
        ("sources:\n  - name: ehr\n    tables: {visits: 1}\n", "3: tables is not a list."),
        (
            HEAD.split("columns:", maxsplit=1)[0] + "columns: visit_id\n",
            "8: columns is not a list.",
        ),
        ("a: 1\n---\nb: 2\n", "2: the file is not YAML: but found another document."),
        ("a: \x07\n", "1: the file holds bytes that YAML does not allow."),
    ],
)
def test_a_file_of_another_shape_is_told_with_its_line(
    tmp_path: Path, text: str, fault: str
) -> None:
    assert _faults(tmp_path, text) == [f"{FILE}:{fault}"]


def test_text_that_is_no_utf_8_is_told_with_its_file(tmp_path: Path) -> None:
    _project(tmp_path, HEAD)
    (tmp_path / FILE).write_bytes(b"sources: \xff\n")
    with pytest.raises(ContractError) as caught:
        load_contracts(tmp_path)
    assert str(caught.value) == f"{FILE}:1: the file holds bytes that YAML does not allow."


def test_a_source_is_operational_in_all_its_files_or_in_none(tmp_path: Path) -> None:
    _project(tmp_path, HEAD)
    more = HEAD.replace("is_operational: true", "is_operational: false").replace("visits", "beds")
    with pytest.raises(ContractError) as caught:
        load_contracts(_project(tmp_path, more, "_ehr__beds__sources.yml"))
    # The files are read in the order of their names: the second to be read contradicts.
    assert str(caught.value) == (
        f"{FILE}:3: source ehr is operational in one file and not in another."
    )


def test_is_operational_may_be_written_as_yaml_allows(tmp_path: Path) -> None:
    text = HEAD.replace("is_operational: true", "is_operational: True")
    assert list(operational_contracts(load_contracts(_project(tmp_path, text)))) == ["ehr"]


def test_a_source_that_is_not_extracted_needs_no_cursor(tmp_path: Path) -> None:
    text = HEAD.replace("is_operational: true", "is_operational: false")
    text = text.replace(", cursor: updated_at", "")
    contracts = load_contracts(_project(tmp_path, text))
    assert contracts["ehr"].tables["visits"].cursor is None
    assert operational_contracts(contracts) == {}


def test_each_class_goes_where_it_may(tmp_path: Path) -> None:
    text = HEAD + _column(name="sex", privacy="clinical", code_system="sex")
    text += _column(name="phone", privacy="identifier") + _column(name="note", privacy="free_text")
    visits = load_contracts(_project(tmp_path, text))["ehr"].tables["visits"]
    assert visits.lake_schema.names == ["visit_id", "updated_at", "sex"]
    assert [c.name for c in visits.vault_columns] == ["phone"]
    assert [c.name for c in visits.read_columns] == ["visit_id", "updated_at", "sex", "phone"]


def test_only_a_table_about_nobody_may_hold_any_text(tmp_path: Path) -> None:
    text = HEAD + _column(privacy="administrative")
    assert _faults(tmp_path, text) == [
        f"{FILE}:{FIRST_LINE}: column ehr.visits.extra would let any text into the lake "
        "(a code_system or code_pattern is missing)."
    ]
    nobody = text.replace(
        "privacy: record_key, key_domain: ehr.visit, source_type: bigint", "privacy: administrative"
    )
    assert "extra" in load_contracts(_project(tmp_path, nobody))["ehr"].tables["visits"].by_name


def test_a_row_is_not_known_by_another_records_token(tmp_path: Path) -> None:
    text = HEAD.replace("ehr.visit, source_type: bigint", "x.visit, is_token: true")
    assert _faults(tmp_path, text) == [
        f"{FILE}:6: primary_key visit_id of table ehr.visits holds tokens of other records."
    ]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = HEAD + _column(source_type="string") + _column(privacy="public", name="other")
    assert [fault.split(": ")[0] for fault in _faults(tmp_path, text)] == [
        f"{FILE}:{FIRST_LINE}",
        f"{FILE}:{FIRST_LINE + 3}",
    ]


def test_a_file_that_is_no_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    assert _faults(tmp_path, "sources:\n  - name: [ehr\n")[0].startswith(f"{FILE}:3: the file is")


def test_a_project_without_source_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="There is no contract"):
        load_contracts(tmp_path)


def test_several_files_make_one_source(tmp_path: Path) -> None:
    _project(tmp_path, HEAD)
    more = HEAD.replace("visits", "beds").replace("visit_id", "bed_id")
    contracts = load_contracts(_project(tmp_path, more, "_ehr__beds__sources.yml"))
    assert sorted(contracts["ehr"].tables) == ["beds", "visits"]


def test_a_table_may_not_stand_in_two_files(tmp_path: Path) -> None:
    _project(tmp_path, HEAD)
    with pytest.raises(ContractError) as caught:
        load_contracts(_project(tmp_path, HEAD, "_ehr__twice__sources.yml"))
    assert "_ehr__twice__sources.yml:6: table ehr.visits is declared twice." in str(caught.value)


def test_the_project_s_own_contracts_name_a_class_for_every_column() -> None:
    contracts = load_contracts(PROJECT_ROOT)
    assert sorted(operational_contracts(contracts)) == ["billing", "chart_audit", "ehr"]
    patients = contracts["ehr"].tables["patients"]
    assert {c.name for c in patients.columns if not c.goes_to_lake} == {
        "mrn", "health_number", "first_name", "last_name", "address_line", "city", "phone", "email",
    }  # fmt: skip
    assert patients.is_registration
    assert contracts["ehr"].tables["ed_visits"].partition_by == "arrived_at"


def test_what_decides_the_lake_s_content_decides_the_hash(tmp_path: Path) -> None:
    first = load_contracts(_project(tmp_path, HEAD))["ehr"].tables["visits"].contract_hash
    described = HEAD.replace(
        "data_type: timestamp", "description: x\n            data_type: timestamp"
    )
    same = load_contracts(_project(tmp_path, described))["ehr"].tables["visits"].contract_hash
    other = HEAD.replace("key_domain: ehr.visit", "key_domain: ehr.stay")
    changed = load_contracts(_project(tmp_path, other))["ehr"].tables["visits"].contract_hash
    assert first == same != changed


def test_the_example_of_the_documentation_is_a_contract(tmp_path: Path) -> None:
    page = (PROJECT_ROOT / "docs" / "extraction.md").read_text(encoding="utf-8")
    text = page.split("```yaml\n")[1].split("```")[0]
    contracts = operational_contracts(load_contracts(_project(tmp_path, text)))
    assert [c.name for c in contracts["lab"].tables["specimens"].lake_columns if c.is_key] == [
        "specimen_id",
        "patient_id",
    ]
