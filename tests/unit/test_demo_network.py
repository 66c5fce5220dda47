"""The planted network as a whole: the same by seed, true to the contracts, with all its warts."""

from __future__ import annotations

import csv
import hashlib
import re
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq
import pytest
import simple_icd_10_cm as icd
import yaml

from demo.conditions import ALL_CODES
from demo.draw import Draw
from demo.network import plant_network
from demo.people import transpose_birth_days
from demo.plans import PlanError
from demo.schema import TABLES
from demo.zones import from_wall, offsets_of
from governance.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network")
    plant_network(path, visits=8_000, seed=1854)
    return path


@pytest.fixture(scope="module")
def ehr(home: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(home / "sources" / "ehr.sqlite")
    yield connection
    connection.close()


def _ledger(home: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(home / "demo" / f"{name}.parquet").to_pylist()
    return rows


def _content(path: Path) -> str:
    with sqlite3.connect(path) as db:
        return hashlib.sha256("\n".join(db.iterdump()).encode()).hexdigest()


def _contracts() -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    for path in sorted((ROOT / "models" / "staging").glob("*/*__sources.yml")):
        for source in yaml.safe_load(path.read_text())["sources"]:
            if source["name"] in TABLES:
                for table in source["tables"]:
                    yield source["name"], table["name"], table["columns"]


def test_the_same_seed_plants_the_same_network_and_another_seed_another(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        plant_network(tmp_path / name, visits=2_000, seed=seed)
    for source in ("ehr", "billing"):
        a, b, c = (_content(tmp_path / name / "sources" / f"{source}.sqlite") for name in "abc")
        assert a == b
        assert a != c


def test_planting_twice_keeps_the_users_settings(tmp_path: Path) -> None:
    first = plant_network(tmp_path, visits=2_000)
    settings = load_settings(tmp_path)
    assert settings.is_synthetic
    assert {name: s.kind for name, s in settings.sources.items()} == {
        "ehr": "sqlite",
        "billing": "sqlite",
        "chart_audit": "sqlite",
    }
    mine = (tmp_path / "scutari.toml").read_text() + "\n# mine\n"
    (tmp_path / "scutari.toml").write_text(mine)
    assert plant_network(tmp_path, visits=2_000) == first
    assert (tmp_path / "scutari.toml").read_text() == mine
    assert not list(tmp_path.rglob("*.building"))


def test_a_plan_that_does_not_fit_says_so(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="20 visits is too small"):
        plant_network(tmp_path, visits=20)


def test_tables_hold_every_column_of_the_contracts_in_the_declared_type() -> None:
    kinds = {"string": "text", "timestamp": "timestamp", "boolean": "boolean", "date": "date"}
    seen = set()
    for source, table, columns in _contracts():
        seen.add((source, table))
        written = {column.name: column.kind for column in TABLES[source][table].columns}
        for column in columns:
            declared = column["config"]["meta"].get("source_type", column["data_type"])
            kind = declared.replace("decimal", "numeric")
            assert written[column["name"]] == kinds.get(kind, kind), (table, column["name"])
    assert seen == {(source, table) for source, tables in TABLES.items() for table in tables}


def test_undeclared_columns_hold_text_that_must_not_leave(ehr: sqlite3.Connection) -> None:
    declared = {(table, c["name"]) for _, table, columns in _contracts() for c in columns}
    assert ("ed_visits", "internal_note") not in declared
    notes = ehr.execute("select count(internal_note), count(entered_by) from ed_visits").fetchone()
    assert 100 < notes[0] < notes[1]


def test_codes_lie_in_their_code_systems_but_for_the_planted_ones(home: Path) -> None:
    planted = {(r["table"], r["column"], r["sqlite"]) for r in _ledger(home, "bad_values")}
    icd_codes = {code.replace(".", "") for code in ALL_CODES}
    strangers = set()
    for source, table, columns in _contracts():
        with sqlite3.connect(home / "sources" / f"{source}.sqlite") as db:
            for column in columns:
                meta = column["config"]["meta"]
                system, pattern = meta.get("code_system"), meta.get("code_pattern")
                if not system and not pattern:
                    continue
                query = f"select distinct {column['name']} from {table}"
                values = {row[0] for row in db.execute(query)} - {None}
                assert values, (table, column["name"])
                if pattern:
                    bad = {value for value in values if not re.fullmatch(pattern, value)}
                elif "." in system:
                    bad = values - _keys(home, *system.split("."))
                elif system == "icd10cm":
                    bad = {value for value in values if value.replace(".", "") not in icd_codes}
                else:
                    bad = values - _codes(system)
                strangers |= {(table, column["name"], value) for value in bad}
    expected = {row for row in planted if row[1].endswith("_code")}
    assert strangers == expected
    assert len(expected) == 6


def _keys(home: Path, source: str, table: str) -> set[str]:
    with sqlite3.connect(home / "sources" / f"{source}.sqlite") as db:
        key = table.removesuffix("s") + "_id"
        return {row[0] for row in db.execute(f"select {key} from {table}")}


def _codes(system: str) -> set[str]:
    with (ROOT / "seeds" / "code_systems" / f"{system}.csv").open() as handle:
        return {row["code"] for row in csv.DictReader(handle)}


def test_diagnoses_are_billable_icd_10_cm_codes() -> None:
    assert len(ALL_CODES) > 80
    for code in ALL_CODES:
        assert icd.is_valid_item(code), code
        assert icd.is_leaf(code), code


def test_bad_values_are_where_the_ledger_says(home: Path, ehr: sqlite3.Connection) -> None:
    rows = _ledger(home, "bad_values")
    assert {row["kind"] for row in rows} == {
        "code_outside_its_system",
        "unreadable_instant",
        "unreadable_number",
    }
    for row in rows:
        query = f"select {row['column']} from {row['table']} where {row['key_column']} = ?"
        assert ehr.execute(query, (row["key"],)).fetchone() == (row["sqlite"],)
    for table, column in (("observations", "value"), ("medications", "dose")):
        broken = [r["key"] for r in rows if (r["table"], r["column"]) == (table, column)]
        found = []
        key = TABLES["ehr"][table].columns[0].name
        for identifier, text in ehr.execute(f"select {key}, {column} from {table}"):
            try:
                Decimal(text)
            except InvalidOperation:
                found.append(identifier)
        assert found == broken


def test_instants_bear_the_offset_of_the_hospitals_clock(ehr: sqlite3.Connection) -> None:
    zones = dict(ehr.execute("select hospital_id, time_zone from hospitals"))
    assert set(zones.values()) == {"America/New_York", "America/Chicago"}
    offsets = set()
    for hospital, text in ehr.execute("select hospital_id, arrived_at from ed_visits"):
        instant = datetime.fromisoformat(text)
        local = instant.astimezone(ZoneInfo(zones[hospital]))
        assert local.utcoffset() == instant.utcoffset()
        offsets.add(text[-6:])
    assert offsets == {"-04:00", "-05:00", "-06:00"}


def test_visits_lie_across_the_change_of_the_clocks(home: Path, ehr: sqlite3.Connection) -> None:
    crossing = 0
    for arrived, left, decided in ehr.execute(
        "select arrived_at, departed_at, disposition_at from ed_visits where deleted_at is null"
    ):
        end = left or decided
        crossing += bool(end) and end[-6:] != arrived[-6:]
    warts = {row["wart"]: row["rows_count"] for row in _ledger(home, "warts")}
    assert crossing == warts["clock_change_visits"] >= 4


def test_every_wart_is_there_as_often_as_the_ledger_says(
    home: Path, ehr: sqlite3.Connection
) -> None:
    warts = {row["wart"]: row["rows_count"] for row in _ledger(home, "warts")}
    live = "from ed_visits where deleted_at is null"
    queries = {
        "open_visits": f"select count(*) {live} and disposition_code is null",
        "departures_imputed": f"select count(*) {live} and departed_at is null"
        " and disposition_at is not null",
        "planned_visits": f"select count(*) {live} and is_planned",
        "deleted_copies": "select count(*) from ed_visits where deleted_at is not null",
        "unidentified_visits": "select count(*) from ed_visits v join patients p"
        " using (patient_id) where identity_status_code = 'unidentified' and v.deleted_at is null",
        **{
            f"{code}_visits": f"select count(*) {live} and disposition_code = '{code}'"
            for code in ("lwbs", "ama", "died", "observation", "transferred", "other")
        },
    }
    for name, query in queries.items():
        assert ehr.execute(query).fetchone()[0] == warts[name] > 0, name
    for name in ("health_number_missing", "health_number_mistyped", "birth_date_mistyped"):
        assert warts[f"registrations/{name}"] > 0
    assert warts["double_registrations"] > 20


def test_instants_of_a_visit_are_in_order_and_before_the_snapshot(ehr: sqlite3.Connection) -> None:
    taken = datetime.fromisoformat("2026-07-01T07:00:00+00:00")
    columns = "arrived_at, triaged_at, seen_at, disposition_at, departed_at"
    for row in ehr.execute(f"select {columns} from ed_visits where deleted_at is null"):
        instants = [datetime.fromisoformat(text) for text in row if text]
        assert instants == sorted(instants)
        assert instants[-1] < taken
    for created, updated, deleted in ehr.execute(
        "select created_at, updated_at, deleted_at from ed_visits"
    ):
        parts = [datetime.fromisoformat(text) for text in (created, deleted, updated) if text]
        assert parts == sorted(parts)
        assert parts[-1] < taken


def test_diagnoses_of_a_visit_are_numbered_from_one(ehr: sqlite3.Connection) -> None:
    for table, parent in (
        ("ed_visit_diagnoses", "visit_id"),
        ("inpatient_diagnoses", "encounter_id"),
    ):
        rows = ehr.execute(
            f"select {parent}, sequence_number from {table} where deleted_at is null"
            f" order by {parent}, sequence_number"
        ).fetchall()
        assert rows[0][1] == 1
        for (before, number), (after, following) in pairwise(rows):
            assert following == (number + 1 if before == after else 1)
        assert max(number for _, number in rows) >= 4
        wrong = ehr.execute(f"select count(*) from {table} where deleted_at is not null")
        assert wrong.fetchone()[0] > 0


@pytest.mark.parametrize(
    ("table", "column", "parent", "key"),
    [
        ("ed_visits", "patient_id", "patients", "patient_id"),
        ("ed_visits", "provider_id", "providers", "provider_id"),
        ("ed_visit_diagnoses", "visit_id", "ed_visits", "visit_id"),
        ("inpatient_encounters", "ed_visit_id", "ed_visits", "visit_id"),
        ("inpatient_encounters", "patient_id", "patients", "patient_id"),
        ("inpatient_diagnoses", "encounter_id", "inpatient_encounters", "encounter_id"),
        ("observations", "ed_visit_id", "ed_visits", "visit_id"),
        ("observations", "encounter_id", "inpatient_encounters", "encounter_id"),
        ("medications", "patient_id", "patients", "patient_id"),
        ("procedures", "encounter_id", "inpatient_encounters", "encounter_id"),
    ],
)
def test_foreign_keys_point_at_standing_rows(
    ehr: sqlite3.Connection, table: str, column: str, parent: str, key: str
) -> None:
    used, dangling = ehr.execute(
        f"select count(c.{column}), count(*) filter (where c.{column} is not null and p.{key} is"
        f" null) from {table} c left join (select {key} from {parent} where deleted_at is null) p"
        f" on p.{key} = c.{column}"
    ).fetchone()
    assert used > 0
    assert dangling == 0


def test_cohorts_exist(ehr: sqlite3.Connection) -> None:
    for prefix in ("E11", "I50"):
        (people,) = ehr.execute(
            "select count(distinct patient_id) from ed_visits join ed_visit_diagnoses"
            " using (visit_id) where diagnosis_code like ? || '%'",
            (prefix,),
        ).fetchone()
        assert people > 100, prefix
    (frequent,) = ehr.execute(
        "with gaps as (select julianday(lead(arrived_at, 4) over (partition by patient_id"
        " order by arrived_at)) - julianday(arrived_at) as days from ed_visits"
        " where deleted_at is null) select count(*) from gaps where days < 365"
    ).fetchone()
    assert frequent > 20


def test_draws_do_not_depend_on_the_rows_beside_them() -> None:
    draw = Draw(1)
    rows = np.arange(1_000)
    whole = draw.uniform("purpose", rows)
    assert np.array_equal(whole[500:], draw.uniform("purpose", rows[500:]))
    assert not np.array_equal(whole, draw.uniform("other", rows))
    assert 0.45 < whole.mean() < 0.55
    assert abs(np.corrcoef(whole[1:], whole[:-1])[0, 1]) < 0.1


def test_wall_time_becomes_the_instant_the_zone_shows() -> None:
    # 2025-03-09: clocks in New York go from 02:00 EST to 03:00 EDT at 07:00 UTC.
    for wall, utc in (
        ("2025-03-09T01:30:00", "2025-03-09T06:30:00"),
        ("2025-03-09T03:30:00", "2025-03-09T07:30:00"),
        ("2025-11-02T12:00:00", "2025-11-02T17:00:00"),
        ("2025-07-01T00:00:00", "2025-07-01T04:00:00"),
    ):
        seconds = np.array([np.datetime64(wall, "s").astype(np.int64)])
        found = from_wall(("America/New_York",), np.zeros(1, np.int64), seconds)
        assert found[0] == np.datetime64(utc, "s").astype(np.int64)
    before = np.array([np.datetime64("2025-03-09T06:59:59", "s").astype(np.int64)])
    assert offsets_of("America/New_York", before)[0] == -5 * 3600
    assert offsets_of("America/New_York", before + 1)[0] == -4 * 3600


def test_transposed_birth_dates_are_other_real_dates() -> None:
    days = np.array(["1980-03-07", "1980-05-05", "1980-03-31", "1980-01-01"], "datetime64[D]")
    typed = transpose_birth_days(days.astype(np.int64)).astype("datetime64[D]")
    assert typed.astype(str).tolist() == ["1980-07-03", "1980-05-04", "1980-03-30", "1980-01-02"]


def test_some_rows_were_entered_twice_and_deleted_again(home: Path) -> None:
    tables = {
        "ehr": ("patients", "ed_visits", "inpatient_encounters", "observations", "medications"),
        "billing": ("claims", "remittances", "remittance_adjustments"),
    }
    for source, names in tables.items():
        with sqlite3.connect(home / "sources" / f"{source}.sqlite") as db:
            for name in names:
                query = f"select count(*), count(deleted_at) from {name}"
                total, deleted = db.execute(query).fetchone()
                assert 0 < deleted < total / 50, name


def test_corrected_rows_were_written_again_later(ehr: sqlite3.Connection) -> None:
    (late, total) = ehr.execute(
        "select count(*) filter (where julianday(updated_at) - julianday(departed_at) > 0.5),"
        " count(*) from ed_visits where deleted_at is null and departed_at is not null"
    ).fetchone()
    assert 0.02 < late / total < 0.08


def test_the_outcome_reads_as_one_line(tmp_path: Path) -> None:
    planted = plant_network(tmp_path, visits=500)
    assert re.fullmatch(
        r"5\d\d ED registrations of \d+ people, [\d,]+ rows in 18 tables", str(planted)
    )
