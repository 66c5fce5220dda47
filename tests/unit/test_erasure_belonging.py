"""Whose a row is follows from the contracts, and a contract that does not say it is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.contract_files import load_contracts
from extract.contracts import ColumnContract, TableContract, operational_contracts
from extract.erasure.belonging import Belonging, belongings, parents
from extract.erasure.keysets import united
from extract.values import Mask
from governance.errors import ContractError
from governance.settings import PROJECT_ROOT


def key(name: str, domain: str, privacy: str = "record_key") -> ColumnContract:
    return ColumnContract(name, "string", privacy, "bigint", "f:1", key_domain=domain)


def table(name: str, *columns: ColumnContract, subject: str | None = None) -> TableContract:
    return TableContract("s", name, columns, columns[0].name, f"f:{name}", subject=subject)


PERSONS = table("persons", key("id", "s.person", "person_key"))
VISITS = table("visits", key("id", "s.visit"), key("person", "s.person", "person_key"))
NOTES = table("notes", key("id", "s.note"), key("visit", "s.visit"))
LINES = table("lines", key("id", "s.line"), key("note", "s.note"), key("next", "s.line"))
DOCTORS = table("doctors", key("id", "s.doctor"), subject="organisation")


def declared() -> list[TableContract]:
    sources = operational_contracts(load_contracts(PROJECT_ROOT)).values()
    return [table for source in sources for table in source.tables.values()]


def test_every_declared_table_has_a_way_to_its_persons() -> None:
    """A new table whose rows cannot be found, and that does not say it has none, fails here."""
    found = belongings(declared())
    organisations = {t.name for t in declared() if t.subject == "organisation"}
    assert organisations == {"hospitals", "feeds", "providers", "payers"}
    assert {name for _, name in found} == {t.name for t in declared()} - organisations
    adjustments = found["billing", "remittance_adjustments"]
    assert (adjustments.persons, [c.name for c in adjustments.references]) == (
        (),
        ["remittance_id"],
    )
    assert parents(found.values()) == {
        "ehr.ed_visit",
        "ehr.inpatient_encounter",
        "billing.claim",
        "billing.claim_line",
        "billing.remittance",
        "chart_audit.review",
    }


def test_no_organisation_has_a_column_that_only_a_patient_has() -> None:
    for one in declared():
        if one.subject == "organisation":
            classes = {column.privacy for column in one.columns}
            assert not classes & {"person_key", "birth_date", "clinical", "sensitive"}, one.name


def test_a_table_that_nobody_can_be_found_in_is_refused() -> None:
    stray = table("stray", key("id", "s.stray"), key("doctor", "s.doctor"))
    with pytest.raises(ContractError, match=r"f:stray: nobody can say whose a row of s\.stray is"):
        belongings([PERSONS, VISITS, DOCTORS, stray])
    assert belongings([PERSONS, DOCTORS, replace(stray, subject="organisation")])


def test_an_organisation_cannot_have_patients() -> None:
    with pytest.raises(ContractError, match="names a registration"):
        belongings([PERSONS, replace(VISITS, subject="organisation")])


@pytest.mark.parametrize("order", [1, -1])
def test_rows_are_found_over_any_number_of_tables(order: int) -> None:
    found = belongings([PERSONS, VISITS, NOTES, LINES, DOCTORS][::order])
    assert set(found) == {("s", name) for name in ("persons", "visits", "notes", "lines")}
    assert [c.name for c in found["s", "lines"].references] == ["note", "next"]


def owned(belonging: Belonging, erased: dict[str, set[str]], **columns: list[str | None]) -> Mask:
    def is_erased(domain: str, values: pa.Array) -> Mask:
        known = erased.get(domain, set())
        return np.array([value in known for value in values.to_pylist()], dtype=np.bool_)

    arrays = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    return belonging.owned(arrays, is_erased)


def test_a_rows_own_registration_goes_before_what_it_refers_to() -> None:
    stays = table(
        "stays", key("id", "s.stay"), key("person", "s.person", "person_key"), key("v", "s.visit")
    )
    belonging = belongings([PERSONS, VISITS, stays])["s", "stays"]
    erased = {"s.person": {"mother"}, "s.visit": {"birth"}}
    found = owned(
        belonging,
        erased,
        id=["1", "2", "3", "4"],
        person=["mother", "child", None, None],
        v=[None, "birth", "birth", "other"],
    )
    assert found.tolist() == [True, False, True, False]


KEYS = st.lists(st.text("0123456789abcdef", min_size=4, max_size=4), unique=True, max_size=8)


@given(one=KEYS, more=KEYS)
def test_digests_of_erased_keys_add_up_in_any_order(one: list[str], more: list[str]) -> None:
    tables = belongings([PERSONS, VISITS, NOTES]).values()
    more = [token for token in more if token not in one]
    secret = bytes(range(32))
    first = united({}, {"s.visit": one}, tables, secret)
    both = united(first, {"s.visit": more}, tables, secret)
    assert both == united({}, {"s.visit": [*reversed(more), *one]}, tables, secret)
    assert (both == first) == (not more)
    # What no row refers to decides nothing.
    assert united({}, {"s.note": one}, tables, secret) == {}
