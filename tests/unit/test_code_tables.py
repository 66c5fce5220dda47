"""Which source is read first, where codes of one are keys of another's table."""

from __future__ import annotations

from pathlib import Path

import pytest

from extract.code_tables import in_order
from extract.contracts import ColumnContract, SourceContract, TableContract
from governance.errors import ContractError, SettingsError
from governance.settings import Settings


def source(name: str, *code_systems: str) -> SourceContract:
    columns = tuple(
        ColumnContract(f"c{place}", "string", "administrative", "string", "f:1", code_system=system)
        for place, system in enumerate(code_systems)
    )
    return SourceContract(name, True, {"rows": TableContract(name, "rows", columns, "c0", "f:1")})


def holding_tokens(name: str, domain: str) -> SourceContract:
    column = ColumnContract(
        "visit", "string", "record_key", "string", "f:1", key_domain=domain, is_token=True
    )
    return SourceContract(name, True, {"rows": TableContract(name, "rows", (column,), "c0", "f:1")})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path)


def test_whose_codes_are_needed_is_read_first(settings: Settings) -> None:
    sources = {"b": source("b", "a.rows", "b.rows", "sex"), "a": source("a", "a.rows")}
    assert [name for name, _ in in_order(settings, sources)] == ["a", "b"]


def test_two_sources_cannot_both_be_first(settings: Settings) -> None:
    sources = {"b": source("b", "a.rows"), "a": source("a", "b.rows")}
    with pytest.raises(ContractError, match="The sources a and b hold codes of each other's"):
        in_order(settings, sources)


def test_whose_tokens_are_held_is_read_first(settings: Settings) -> None:
    """While tokens are made anew, what an old one is called now is known once it was read."""
    sources = {"a": holding_tokens("a", "b.visit"), "b": source("b")}
    assert [name for name, _ in in_order(settings, sources)] == ["b", "a"]
    with pytest.raises(SettingsError, match="does not name the source b,"):
        in_order(settings, {"a": holding_tokens("a", "b.visit")})


def test_a_source_with_codes_must_be_named(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="does not name the source a,"):
        in_order(settings, {"b": source("b", "a.rows")})
