"""Operational databases for tests: made from the contracts, filled from plain rows.

The tables are what a hospital's system would hold: the contracts' columns in the database's own
types (instants as text with the hospital's offset, keys as integers). Rows name only what a test is
about; `DEFAULTS` fills the columns that a hospital never leaves empty.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from governance.settings import PROJECT_ROOT, Settings, load_settings

Row = Mapping[str, Any]
Rows = Iterable[Row] | pl.DataFrame
# source -> table -> rows
Content = Mapping[str, Mapping[str, Rows]]

WRITTEN_AT = datetime(2024, 1, 1, tzinfo=UTC)
OPERATIONAL_SOURCES = ("ehr", "billing")

_SQLITE_TYPES = {
    "bigint": "integer",
    "int": "integer",
    "boolean": "integer",
    "string": "text",
    "timestamp": "text",
    "date": "text",
}


@cache
def contract(source: str) -> dict[str, dict[str, str]]:
    """Column types of each table of an operational source: table -> column -> operational type."""
    tables: dict[str, dict[str, str]] = {}
    for path in sorted((PROJECT_ROOT / "models" / "staging" / source).glob("*__sources.yml")):
        for node in yaml.safe_load(path.read_text(encoding="utf-8"))["sources"]:
            for table in node["tables"]:
                tables[table["name"]] = {
                    column["name"]: column["config"]["meta"].get("source_type", column["data_type"])
                    for column in table["columns"]
                }
    return tables


def primary_key(source: str, table: str) -> str:
    """The table's key is the contract's first column of every table."""
    return next(iter(contract(source)[table]))


# Columns that a hospital's system always fills. A function gets the row and its number.
Default = Any | Callable[[Row, int], Any]
DEFAULTS: dict[str, dict[str, Default]] = {
    "hospitals": {
        "hospital_name": lambda row, _: f"Hospital {row['hospital_id']}",
        "peer_group_code": "community_large",
        "time_zone": "UTC",
        "postal_code": "02139",
    },
    "feeds": {
        "feed_id": lambda row, _: f"{row['hospital_id']}-ed",
        "feed_name": "ED registrations",
    },
    "patients": {
        "mrn": lambda row, _: f"M{row['patient_id']:08d}",
        "identity_status_code": "identified",
        "first_name": lambda row, _: f"First{row['patient_id']}",
        "last_name": lambda row, _: f"Last{row['patient_id']}",
        "birth_date": date(1980, 1, 1),
        "sex_code": "U",
        "postal_code": "02139",
    },
    "providers": {"npi": "0000000000", "provider_name": "Doctor", "specialty_code": "emergency"},
    "ed_visits": {
        "visit_number": lambda row, _: f"V{row['visit_id']}",
        "acuity_code": "3",
        "arrival_mode_code": "walk_in",
        "complaint_code": "other",
        "is_planned": False,
    },
    "ed_visit_diagnoses": {"diagnosis_id": lambda _, number: number, "sequence_number": 1},
    "inpatient_encounters": {
        "encounter_id": lambda _, number: number,
        "admission_type_code": "emergency",
        "discharge_disposition_code": "home",
    },
    "inpatient_diagnoses": {"diagnosis_id": lambda _, number: number, "sequence_number": 1},
    "observations": {"observation_id": lambda _, number: number},
    "medications": {"medication_id": lambda _, number: number},
    "procedures": {"procedure_id": lambda _, number: number},
}


def write_installation(
    home: Path,
    content: Content,
    *,
    is_synthetic: bool = True,
    matching: str = "deterministic",
) -> Settings:
    """Create the operational databases and ``scutari.toml`` of an installation.

    Every table of the contracts exists; those without rows are empty.

    Args:
        home: the installation's home directory; made where it is absent, and empty of databases.
        content: rows by source and table. An unknown source, table or column is a mistake of the
            test and raises ``KeyError``.
        is_synthetic: what ``scutari.toml`` says of the data.
        matching: how registrations are joined.
    """
    unknown = set(content) - set(OPERATIONAL_SOURCES)
    if unknown:
        raise KeyError(f"No such operational source: {', '.join(sorted(unknown))}.")
    (home / "sources").mkdir(parents=True)
    # Everybody here has the same birth date and much the same name: numbers alone tell them apart.
    lines = [f"synthetic = {'true' if is_synthetic else 'false'}"]
    lines += ["[matching]", f'method = "{matching}"']
    for source in OPERATIONAL_SOURCES:
        path = Path("sources") / f"{source}.sqlite"
        write_database(home / path, source, content.get(source, {}))
        lines += [f"[sources.{source}]", 'kind = "sqlite"', f'path = "{path}"']
    (home / "scutari.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_settings(home)


def write_database(path: Path, source: str, tables: Mapping[str, Rows]) -> None:
    """Create one SQLite database with every table of the source and insert the rows."""
    unknown = set(tables) - set(contract(source))
    if unknown:
        raise KeyError(f"Source {source} has no table {', '.join(sorted(unknown))}.")
    connection = sqlite3.connect(path)
    try:
        with connection:
            for table, columns in contract(source).items():
                connection.execute(_create_statement(source, table, columns))
                _insert(connection, table, columns, tables.get(table, ()))
    finally:
        connection.close()


def _create_statement(source: str, table: str, columns: Mapping[str, str]) -> str:
    key = primary_key(source, table)
    declared = [
        f"{name} {_SQLITE_TYPES.get(kind, 'text')}" + (" primary key" if name == key else "")
        for name, kind in columns.items()
    ]
    return f"create table {table} ({', '.join(declared)})"


def _insert(
    connection: sqlite3.Connection, table: str, columns: Mapping[str, str], rows: Rows
) -> None:
    given = rows.iter_rows(named=True) if isinstance(rows, pl.DataFrame) else rows
    values = [
        [_stored(completed.get(name), kind, f"{table}.{name}") for name, kind in columns.items()]
        for completed in (_completed(table, columns, row, n) for n, row in enumerate(given, 1))
    ]
    places = ", ".join("?" * len(columns))
    connection.executemany(f"insert into {table} values ({places})", values)


def _completed(table: str, columns: Mapping[str, str], row: Row, number: int) -> dict[str, Any]:
    unknown = set(row) - set(columns)
    if unknown:
        raise KeyError(f"Table {table} has no column {', '.join(sorted(unknown))}.")
    completed = dict(row)
    defaults = {"created_at": WRITTEN_AT, "updated_at": WRITTEN_AT, **DEFAULTS.get(table, {})}
    for name, default in defaults.items():
        # A value given as None stays null: a test that empties a column means it.
        if name in columns and name not in completed:
            completed[name] = default(completed, number) if callable(default) else default
    return completed


def _stored(value: Any, kind: str, where: str) -> Any:
    """Write a value as the operational databases hold it."""
    if isinstance(value, datetime):
        if kind == "timestamp" and value.tzinfo is None:
            raise ValueError(f"{where} is an instant: give it a time zone.")
        return value.isoformat()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return value
