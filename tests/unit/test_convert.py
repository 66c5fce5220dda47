"""Values that fit stay what they are; values that do not are set aside with a reason."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from extract.contracts import ColumnContract, TableContract, arrow_type
from extract.convert import Converted, Converter, Tally
from extract.identity.tokens import TOKEN_LENGTH, Tokeniser
from extract.sources.base import EXACT, Misfit, RawBatch, exact_number

CODES = {"sex": pa.array(["F", "M"]), "icd10cm": pa.array(["I214", "R104"])}
TOKENISER = Tokeniser(bytes(range(32)))
KEY = ColumnContract("id", "string", "record_key", "bigint", "f:1", key_domain="ehr.x")


def column(kind: str, **more: Any) -> ColumnContract:
    return ColumnContract("value", kind, more.pop("privacy", "clinical"), kind, "f:2", **more)


def table(value: ColumnContract, key: ColumnContract = KEY, **more: Any) -> TableContract:
    return TableContract("ehr", "rows", (key, value), "id", "f:1", **more)


def convert(
    value: ColumnContract,
    raw: Sequence[Any] | pa.Array,
    *,
    misfits: tuple[Misfit, ...] = (),
    contract: TableContract | None = None,
    keys: Sequence[int | None] | None = None,
) -> tuple[Converted, Tally]:
    array = raw if isinstance(raw, pa.Array) else pa.array(raw, pa.string())
    ids = pa.array(keys if keys is not None else range(1, len(array) + 1), pa.int64())
    batch = pa.RecordBatch.from_arrays([ids, array], ["id", "value"])
    tally = Tally()
    converter = Converter(contract or table(value), CODES, TOKENISER)
    return converter.convert(RawBatch(batch, misfits), tally), tally


def outcome(value: ColumnContract, raw: Sequence[Any] | pa.Array, **more: Any) -> list[Any]:
    """What the lake holds of each value, or the reason why its row is not there."""
    converted, _ = convert(value, raw, **more)
    kept = iter(converted.lake.column("value").to_pylist())
    if converted.quarantine is None:
        return list(kept)
    rows = converted.quarantine.to_pylist()
    dropped = {row["source_key"]: row["reason_code"] for row in rows if row["is_row_dropped"]}
    count = len(raw)
    return [dropped.get(str(n)) or next(kept) for n in range(1, count + 1)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12.50", Decimal("12.50")),
        ("-0.01", Decimal("-0.01")),
        ("7", Decimal("7.00")),
        ("12.500", Decimal("12.50")),  # a zero more is no digit more
        ("12.505", "inexact"),
        ("99999999.99", Decimal("99999999.99")),
        ("100000000.00", "inexact"),
        ("1e2", Decimal("100.00")),
        ("NaN", "mistyped"),
        ("Infinity", "mistyped"),
        ("1,5", "mistyped"),
        ("", "mistyped"),
    ],
)
def test_a_decimal_is_exact_or_set_aside(text: str, expected: Any) -> None:
    assert outcome(column("decimal(10,2)"), [text]) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-06-01T08:00:00-04:00", datetime(2024, 6, 1, 12, tzinfo=UTC)),
        # The hour that New York passes twice: the offset says which of the two is meant.
        ("2024-11-03T01:30:00-04:00", datetime(2024, 11, 3, 5, 30, tzinfo=UTC)),
        ("2024-11-03T01:30:00-05:00", datetime(2024, 11, 3, 6, 30, tzinfo=UTC)),
        ("2024-06-01 08:00:00.123456Z", datetime(2024, 6, 1, 8, 0, 0, 123456, tzinfo=UTC)),
        ("2024-06-01T08:00:00", "no_utc_offset"),
        ("2024-06-01", "mistyped"),
        ("2024-02-30T08:00:00Z", "mistyped"),
        ("infinity", "mistyped"),
        ("now", "mistyped"),
        ("1850-01-01T00:00:00Z", datetime(1850, 1, 1, tzinfo=UTC)),
        ("1849-12-31T23:59:59.999999Z", "out_of_range"),
        ("2300-01-01T00:00:00Z", datetime(2300, 1, 1, tzinfo=UTC)),
        ("2300-01-01T00:00:00.000001Z", "out_of_range"),
        ("9999-12-31T23:59:59Z", "out_of_range"),
    ],
)
def test_an_instant_has_its_offset_or_is_set_aside(text: str, expected: Any) -> None:
    assert outcome(column("timestamp"), [text]) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-06-01T08:00:00", datetime(2024, 6, 1, 12, tzinfo=UTC)),
        ("2024-01-01T08:00:00", datetime(2024, 1, 1, 13, tzinfo=UTC)),
        ("2024-06-01T08:00:00-07:00", datetime(2024, 6, 1, 15, tzinfo=UTC)),
        ("2024-03-10T02:30:00", "nonexistent_local_time"),
        ("2024-11-03T01:30:00", "ambiguous_local_time"),
        ("2024-06-01", "mistyped"),
    ],
)
def test_a_local_clock_is_read_in_its_declared_zone(text: str, expected: Any) -> None:
    assert outcome(column("timestamp", time_zone="America/New_York"), [text]) == [expected]


def test_a_local_timestamp_of_a_database_needs_a_declared_zone() -> None:
    clocks = pa.array([datetime(2024, 6, 1, 8), datetime(2024, 3, 10, 2, 30)], pa.timestamp("us"))
    assert outcome(column("timestamp"), clocks) == ["no_utc_offset"] * 2
    assert outcome(column("timestamp", time_zone="America/New_York"), clocks) == [
        datetime(2024, 6, 1, 12, tzinfo=UTC),
        "nonexistent_local_time",
    ]


def test_the_bounds_hold_in_a_batch_that_also_has_values_beyond_them() -> None:
    texts = ["1849-12-31", "1850-01-01", "2300-01-01", "2300-01-02"]
    expected = ["out_of_range", date(1850, 1, 1), date(2300, 1, 1), "out_of_range"]
    assert outcome(column("date"), texts) == expected


@pytest.mark.parametrize("micros", [-(2**63), 2**63 - 1, -3_786_825_600_000_001])
def test_an_infinite_instant_never_becomes_a_plausible_one(micros: int) -> None:
    raw = pa.array([micros], pa.int64()).view(pa.timestamp("us", tz="UTC"))
    converted, tally = convert(column("timestamp"), raw)
    assert (tally.rows, tally.dropped) == (0, 1)
    assert converted.quarantine is not None
    assert converted.quarantine.to_pylist()[0]["raw_value"] == f"{micros} us"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29", date(2024, 2, 29)),
        ("2023-02-29", "mistyped"),
        ("29/02/2024", "mistyped"),
        ("1849-12-31", "out_of_range"),
        ("2300-01-01", date(2300, 1, 1)),
        ("2300-01-02", "out_of_range"),
    ],
)
def test_a_date_is_a_day_of_the_calendar(text: str, expected: Any) -> None:
    assert outcome(column("date"), [text]) == [expected]


def test_a_boolean_is_zero_or_one() -> None:
    raw = pa.array([0, 1, 2, -1, None], pa.int64())
    assert outcome(column("boolean"), raw) == [False, True, "mistyped", "mistyped", None]


def test_an_integer_that_needs_more_than_32_bits_is_set_aside() -> None:
    raw = pa.array([2**31 - 1, 2**31, -(2**31), -(2**31) - 1], pa.int64())
    expected = [2**31 - 1, "out_of_range", -(2**31), "out_of_range"]
    assert outcome(column("int"), raw) == expected


def test_a_code_outside_its_system_leaves_its_place_empty() -> None:
    value = column("string", code_system="sex")
    converted, tally = convert(value, ["F", "Mary 555-0134", None, "", "f"])
    assert converted.lake.column("value").to_pylist() == ["F", None, None, None, None]
    assert tally.quarantined == {("value", "unknown_code", False): 3}
    assert (tally.rows, tally.dropped, tally.emptied["value"]) == (5, 0, 3)
    assert converted.quarantine is not None
    first = converted.quarantine.to_pylist()[0]
    assert (first["source_key"], first["raw_value"]) == ("2", "Mary 555-0134")
    assert first["raw_row"] is None


def test_icd_codes_are_known_with_and_without_their_dot_and_stay_as_written() -> None:
    value = column("string", code_system="icd10cm")
    # The last begins with LATIN SMALL LETTER DOTLESS I, whose capital is I.
    assert outcome(value, ["I21.4", "I214", "i21.4", "I21.4 - wife Ruth", "V99", "\u013121.4"]) == [
        "I21.4", "I214", "i21.4", None, None, None,
    ]  # fmt: skip


def test_a_pattern_must_match_the_whole_value() -> None:
    value = column("string", code_pattern="[0-9]{5}|X")
    assert outcome(value, ["02139", "021390", "a02139", "X", "X\n02139"]) == [
        "02139", None, None, "X", None,
    ]  # fmt: skip


def test_a_row_that_means_nothing_without_its_code_is_set_aside_whole() -> None:
    value = column("string", code_pattern="[0-9]{5}", is_required=True)
    converted, tally = convert(value, ["02139", "Ms Doe", None])
    assert converted.lake.column("value").to_pylist() == ["02139", None]
    assert tally.quarantined == {("value", "unknown_code", True): 1}


def test_a_row_without_key_is_set_aside_whole() -> None:
    converted, tally = convert(column("string"), ["a", "b"], keys=[None, 2])
    assert converted.lake.column("value").to_pylist() == ["b"]
    assert tally.quarantined == {("id", "null_key", True): 1}
    assert converted.quarantine is not None
    assert json.loads(converted.quarantine.to_pylist()[0]["raw_row"]) == {"id": None, "value": "a"}


def test_a_key_of_another_type_has_one_reason() -> None:
    misfit = Misfit(0, "id", "A-17")
    _, tally = convert(column("string"), ["a", "b"], keys=[None, 2], misfits=(misfit,))
    assert tally.quarantined == {("id", "mistyped", True): 1}


def test_a_registration_stays_when_a_value_of_it_does_not_fit() -> None:
    key = ColumnContract("id", "string", "person_key", "bigint", "f:1", key_domain="ehr.patient")
    value = column("date", privacy="birth_date", identity="birth_date")
    converted, tally = convert(value, ["1980-13-01", "1980-12-01"], contract=table(value, key))
    assert converted.lake.column("value").to_pylist() == [None, date(1980, 12, 1)]
    assert (tally.dropped, tally.emptied["value"]) == (0, 1)


@pytest.mark.parametrize("role", ["cursor", "partition_by"])
def test_a_row_goes_when_what_orders_it_does_not_fit(role: str) -> None:
    value = column("timestamp", privacy="administrative")
    key = ColumnContract("id", "string", "person_key", "bigint", "f:1", key_domain="ehr.patient")
    _, tally = convert(value, ["never"], contract=table(value, key, **{role: "value"}))
    assert tally.dropped == 1


def test_an_identifier_goes_to_the_vault_alone() -> None:
    value = column("string", privacy="identifier")
    converted, _ = convert(value, ["MRN 17"])
    assert converted.lake.schema.names == ["id"]
    assert converted.vault is not None
    row = converted.vault.to_pylist()[0]
    assert (row["source_key"], row["value"]) == ("1", "MRN 17")
    assert row["token"] == converted.lake.column("id").to_pylist()[0]
    assert len(row["token"]) == TOKEN_LENGTH


def test_a_row_with_two_faults_is_dropped_once() -> None:
    value = column("decimal(4,1)")
    _, tally = convert(value, ["x", "1.0"], keys=[None, 2])
    assert (tally.rows, tally.dropped) == (1, 1)
    assert sum(tally.quarantined.values()) == 2


KINDS = ["string", "int", "boolean", "decimal(10,2)", "timestamp", "date"]


@given(
    kind=st.sampled_from(KINDS),
    texts=st.lists(
        st.one_of(
            st.none(),
            st.text(max_size=12).filter(lambda text: "\x00" not in text),
            st.decimals(allow_nan=True, places=3).map(str),
            st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
            st.dates().map(str),
            st.integers(-(2**40), 2**40).map(str),
        ),
        max_size=30,
    ),
)
@example(kind="decimal(10,2)", texts=["6352474531470459940580097.231"] * 2)
def test_nothing_is_lost_whatever_stands_there(kind: str, texts: list[str | None]) -> None:
    """Rows, nulls and exact sums of both sides add up, for any text in any column."""
    value = column(kind)
    if kind in ("int", "boolean"):
        numbers = [int(text) if text and text.lstrip("-").isdecimal() else None for text in texts]
        raw = pa.array(numbers, pa.int64())
        texts = [None if number is None else str(number) for number in numbers]
    else:
        raw = pa.array(texts, pa.string())
    converted, tally = convert(value, raw)
    lake = converted.lake.column("value")
    assert tally.rows + tally.dropped == len(texts)
    assert lake.type == arrow_type(kind)
    absent = sum(text is None for text in texts)
    assert lake.null_count - tally.emptied["value"] + tally.dropped_nulls["value"] == absent
    if value.is_summed:
        numbers_there = [exact_number(text) for text in texts if text is not None]
        # Python's own sum rounds to 28 digits.
        total = Decimal(0)
        for number in numbers_there:
            total = EXACT.add(total, number or 0)
        assert tally.sums["value"] == total
