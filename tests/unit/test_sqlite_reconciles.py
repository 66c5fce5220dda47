"""Whatever stands in a SQLite column, the database's side and the lake's side add up.

SQLite holds any value in any column. A value that one side reads as a number or a key and the other
does not would stop every snapshot, so both sides are held to one reading.
"""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.odd_sqlite import Garbled, extract_rows, odd_table, open_sqlite, plant, unequal

MOVED = "2024-06-02T08:00:00-04:00"
SEEN = "2024-06-01T08:00:00-04:00"
WIDTH = len(odd_table().columns)

TEXTS = st.one_of(
    st.text(max_size=8).filter(lambda text: "\x00" not in text),
    st.from_regex(
        r"[+-]?[0-9٣]{0,4}\.?[0-9]{0,3}([eE][+-]?[0-9]{0,6})?",
        fullmatch=True,
    ),
    st.from_regex(
        r"20(19|24)-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:30(:15)?(Z|-05:00)?)?",
        fullmatch=True,
    ),
    st.sampled_from(["now", "2460000.5", "infinity", "F", "f", "", " ", "NaN", "-0"]),
)
VALUES = st.one_of(
    st.none(),
    TEXTS,
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-2, 2),
    st.floats(allow_nan=False),
    st.binary(max_size=6),
    st.binary(max_size=6).map(Garbled),
    TEXTS.map(lambda text: text.encode()),
)


@settings(max_examples=60, deadline=None)
@given(
    key_type=st.sampled_from(["bigint", "int", "string"]),
    rows=st.lists(st.lists(VALUES, min_size=WIDTH, max_size=WIDTH), max_size=5),
)
def test_both_sides_add_up_whatever_stands_there(key_type: str, rows: list[list[Any]]) -> None:
    table = odd_table(key_type)
    # Nothing here outlives the test: waiting for the disk would only slow it.
    with tempfile.TemporaryDirectory() as home, patch("extract.partitions.sync"):
        plant(Path(home) / "s.sqlite", table, rows)
        with open_sqlite(Path(home) / "s.sqlite") as source:
            duplicates = source.profile(table).duplicate_keys
            outcomes = extract_rows(Path(home), source, table)
    assert sum(o.profile.row_count for o in outcomes) == len(rows)
    if not duplicates:
        assert unequal(table, outcomes) == []


def row_of(**given: Any) -> list[Any]:
    plain = {"id": 1, "moved_at": MOVED, "seen_at": SEEN} | given
    return [plain.get(column.name) for column in odd_table().columns]


@pytest.mark.parametrize(
    ("key_type", "column", "value", "reason"),
    [
        # Arrow makes 0.00 of the first and ends the process at the second.
        ("bigint", "c_decimal", "1E-231", "inexact"),
        ("bigint", "c_decimal", "1e-2147483646", "mistyped"),
        ("bigint", "c_decimal", "0." + "0" * 200 + "1", "inexact"),
        # ARABIC-INDIC DIGIT THREE: a digit to Python, none to a database.
        ("bigint", "c_decimal", "\u0663", "mistyped"),
        ("bigint", "c_int", "\u0663", "mistyped"),
        ("bigint", "c_int", 1.5, "mistyped"),
        ("int", "id", 2**40, "out_of_range"),
        ("string", "id", Garbled(b"H\xff"), "mistyped"),
        ("string", "id", 7, "mistyped"),
        ("bigint", "id", "seven", "mistyped"),
        ("bigint", "id", 7.5, "mistyped"),
        ("bigint", "moved_at", Garbled(b"2024\xff"), "mistyped"),
        ("bigint", "seen_at", Garbled(b"2024-06-01\xff"), "mistyped"),
        ("bigint", "seen_at", "now", "mistyped"),
    ],
)
def test_a_value_that_does_not_fit_goes_to_quarantine_and_stops_nothing(
    tmp_path: Path, key_type: str, column: str, value: Any, reason: str
) -> None:
    table = odd_table(key_type)
    key: int | str = "h" if key_type == "string" else 1
    rows = [row_of(id=key), row_of(**{"id": 2 if key == 1 else "i", column: value})]
    plant(tmp_path / "s.sqlite", table, rows)
    with open_sqlite(tmp_path / "s.sqlite") as source:
        outcomes = extract_rows(tmp_path, source, table)
    assert unequal(table, outcomes) == []
    assert sum(o.footer.rows for o in outcomes) == 1
    found = pl.concat([pl.read_parquet(p) for p in (tmp_path / "quarantine").glob("*")])
    assert found.select("column_name", "reason_code", "is_row_dropped").rows() == [
        (column, reason, True)
    ]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1e0002", "100.00"),
        ("125e-1", "12.50"),
        ("1.5" + "0" * 300, "1.50"),
        ("0" * 300 + "1.5", "1.50"),
        ("9999999999e-2", "99999999.99"),
        ("0e-999", "0.00"),
    ],
)
def test_a_number_that_fits_is_kept_however_it_is_written(
    tmp_path: Path, text: str, amount: str
) -> None:
    table = odd_table()
    plant(tmp_path / "s.sqlite", table, [row_of(c_decimal=text)])
    with open_sqlite(tmp_path / "s.sqlite") as source:
        outcomes = extract_rows(tmp_path, source, table)
    assert unequal(table, outcomes) == []
    kept = pl.read_parquet(tmp_path / "lake" / "2024-06.parquet")["c_decimal"].to_list()
    assert [str(value) for value in kept] == [amount]
    assert outcomes[0].profile.sums["c_decimal"] == Decimal(amount)


def test_a_key_that_was_written_as_a_blob_is_the_text_it_holds(tmp_path: Path) -> None:
    table = odd_table("string")
    plant(tmp_path / "s.sqlite", table, [row_of(id=b"H2"), row_of(id="H1")])
    with open_sqlite(tmp_path / "s.sqlite") as source:
        outcomes = extract_rows(tmp_path, source, table)
    assert unequal(table, outcomes) == []
    profile = outcomes[0].profile
    assert (profile.key_minimum, profile.key_maximum) == ("H1", "H2")
    assert outcomes[0].footer.rows == 2
