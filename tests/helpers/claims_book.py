"""The worked book of claims (tests/worked_books/claims), and a lake made straight from rows."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from extract.contract_files import load_contracts
from extract.contracts import SourceContract
from governance.settings import PROJECT_ROOT
from tests.helpers.dbt import run_dbt
from tests.helpers.operational import contract

BOOK = Path(__file__).resolve().parent.parent / "worked_books" / "claims"
TAKEN_AT = datetime(2024, 7, 10, 12, tzinfo=UTC)
TABLES = (
    "payers",
    "members",
    "coverages",
    "claims",
    "claim_lines",
    "remittances",
    "remittance_adjustments",
)
# The claims marts with all they stand on, and nothing of other services.
SELECTION = (
    "path:seeds/code_systems",
    "stg_billing__members",
    "+dim_hospitals",
    "+path:models/marts/claims",
)

Row = dict[str, Any]
Content = Mapping[str, Sequence[Mapping[str, Any]]]


def read_rows(name: str) -> list[dict[str, str | None]]:
    """The rows of one file of the book; an empty field is null."""
    with (BOOK / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return [{key: value or None for key, value in row.items()} for row in csv.DictReader(file)]


def load_book() -> dict[str, list[Row]]:
    """The billing tables of the book, every value in its operational type."""
    content: dict[str, list[Row]] = {}
    for table in TABLES:
        types = contract("billing")[table]
        content[table] = [
            {name: typed(value, types[name]) for name, value in row.items() if name != "why"}
            for row in read_rows(table)
        ]
    return content


def read_database(path: Path) -> dict[str, list[Row]]:
    """The billing tables of an operational SQLite database; nothing in them may be unreadable."""
    content: dict[str, list[Row]] = {}
    with closing(sqlite3.connect(path)) as connection:
        for table in TABLES:
            types = contract("billing")[table]
            rows = connection.execute(f"select {', '.join(types)} from {table}")
            content[table] = [
                {
                    name: typed(None if value is None else str(value), kind)
                    for (name, kind), value in zip(types.items(), row, strict=True)
                }
                for row in rows
            ]
    return content


def typed(value: str | None, kind: str) -> Any:
    """A field of a CSV file as a value of a column type."""
    if value is None:
        return None
    if kind in ("bigint", "int"):
        return int(value)
    if kind == "date":
        return date.fromisoformat(value)
    if kind == "timestamp":
        return datetime.fromisoformat(value)
    if kind == "boolean":
        return value == "true"
    return Decimal(value) if kind.startswith("decimal") else value


def feed(taken_at: datetime) -> Row:
    """The one feed, which has brought the whole day of the snapshot."""
    return {
        "feed_id": "F1",
        "hospital_id": "H1",
        "feed_name": "claims",
        "data_through_at": taken_at + timedelta(days=1),
    }


def write_lake(home: Path, billing: Content, taken_at: datetime = TAKEN_AT) -> None:
    """Write a snapshot as extraction would, with plain keys (``str`` of the row's) for tokens."""
    snapshot = home / "lake" / "book"
    for table, rows in billing.items():
        write_table(snapshot, "billing", table, rows)
    people = [
        {
            "source_name": "billing",
            "registration_key": str(row["member_id"]),
            "person_key": f"person-{row['member_id']}",
            "link_method_code": "health_number",
        }
        for row in billing["members"]
    ]
    write_table(snapshot, "identity", "person_map", people)
    hospital = {"hospital_id": "H1", "hospital_name": "Hospital 1", "time_zone": "UTC"}
    write_table(snapshot, "ehr", "hospitals", [hospital])
    write_table(snapshot, "ehr", "feeds", [feed(taken_at)])
    itself = {"snapshot_id": "book", "taken_at": taken_at, "is_synthetic": True}
    write_table(snapshot, "quality", "snapshots", [itself])
    (snapshot / "_manifest.json").write_text("{}", encoding="utf-8")
    (home / "lake" / "current").symlink_to("book")


@cache
def _contracts() -> dict[str, SourceContract]:
    return load_contracts(PROJECT_ROOT)


def write_table(snapshot: Path, source: str, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one table of a snapshot as a single Parquet file."""
    schema = _contracts()[source].tables[table].lake_schema
    columns = [
        pa.array([_stored(row.get(field.name), field.type) for row in rows], field.type)
        for field in schema
    ]
    folder = snapshot / source / table
    folder.mkdir(parents=True)
    pq.write_table(pa.table(columns, schema=schema), folder / "all.parquet")


def _stored(value: Any, kind: pa.DataType) -> Any:
    return str(value) if value is not None and pa.types.is_string(kind) else value


def build(home: Path) -> None:
    """Run dbt on the claims models of an installation; its own target, so that runs never meet.

    Unit tests are left out: they run on rows of their own and are part of every whole build.
    """
    arguments = ["build", "--indirect-selection", "cautious"]
    arguments += ["--exclude-resource-type", "unit_test", "--select", *SELECTION]
    done = run_dbt(home, home / "dbt", *arguments)
    assert done.exit_code == 0, done.output[-6000:]
