"""Who is one person: the deterministic rule, and what becomes of ids when registrations change."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from extract.contracts import ColumnContract, TableContract
from extract.identity.vault import Linked, link_registrations
from extract.identity.version import NewVersion, open_version
from extract.partitions import ParquetFile
from governance.errors import SnapshotError
from tests.helpers.vault import keyring

PATIENTS = TableContract(
    "ehr",
    "patients",
    (
        ColumnContract("id", "string", "person_key", "bigint", "f:1", key_domain="ehr.patient"),
        ColumnContract("card", "string", "identifier", "string", "f:2", identity="health_number"),
        ColumnContract("born", "date", "birth_date", "date", "f:3", identity="birth_date"),
        ColumnContract(
            "status", "string", "administrative", "string", "f:4", code_system="identity_status"
        ),
    ),
    "id",
    "f:1",
)
PATH = "ehr/patients/all.parquet"
SCHEMA = pa.schema(
    [
        ("source_key", pa.string()),
        ("token", pa.string()),
        ("card", pa.string()),
        ("born", pa.date32()),
        ("status", pa.string()),
    ]
)
BORN = date(1980, 5, 17)
Registration = tuple[str, str | None, date | None, str]


def link(
    vault: Path, name: str, rows: Sequence[Registration], previous: str | None = None
) -> dict[str, tuple[str | None, str]]:
    """Take one night; return person and method by registration."""
    version = NewVersion(vault / name, keyring())
    frame = pl.DataFrame(
        [(key, f"t{key}", card, born, status) for key, card, born, status in rows],
        schema={
            "source_key": pl.String,
            "token": pl.String,
            "card": pl.String,
            "born": pl.Date,
            "status": pl.String,
        },
        orient="row",
    )
    rows_of_night = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(SCHEMA)
    seal = version.begin(PATH)
    file = ParquetFile(version.directory / PATH, SCHEMA, encryption=seal.properties)
    for batch in rows_of_night.to_batches():
        file.write(batch)
    file.close()
    version.finish(seal)
    link_registrations(
        version,
        [PATIENTS],
        open_version(vault / previous, keyring()) if previous else None,
        snapshot_id=name,
        person_map=vault / f"{name}.parquet",
        spill=vault / "spill",
        review=vault / "review",
    )
    version.close(name)
    people = pl.read_parquet(vault / f"{name}.parquet")
    assert people.columns == ["source_name", "registration_key", "person_key", "link_method_code"]
    return {
        row["registration_key"]: (row["person_key"], row["link_method_code"])
        for row in people.iter_rows(named=True)
    }


def test_same_number_and_birth_date_are_one_person(tmp_path: Path) -> None:
    found = link(
        tmp_path,
        "n1",
        [
            ("1", "1234-567-890-AB", BORN, "identified"),
            ("2", "1234567890ab", BORN, "identified"),
            ("3", "1234567890AB", date(1980, 5, 18), "identified"),
            ("4", None, BORN, "identified"),
            ("5", None, BORN, "identified"),
            ("6", "1234567890AB", None, "identified"),
            ("7", "1234567890AB", BORN, "unidentified"),
            ("8", " - ", BORN, "identified"),
        ],
    )
    assert found["t1"][0] == found["t2"][0] is not None
    people = {person for person, _ in found.values() if person is not None}
    assert len(people) == 6  # 1 with 2, then 3, 4, 5, 6 and 8 each alone
    assert found["t7"] == (None, "unlinkable")
    assert {key: method for key, (_, method) in found.items()} == {
        "t1": "health_number",
        "t2": "health_number",
        "t3": "health_number",
        "t4": "alone",
        "t5": "alone",
        "t6": "alone",
        "t7": "unlinkable",
        "t8": "alone",
    }


def test_ids_stay_from_night_to_night(tmp_path: Path) -> None:
    rows = [("1", "A1", BORN, "identified"), ("2", None, BORN, "identified")]
    first = link(tmp_path, "n1", rows)
    assert link(tmp_path, "n2", rows, "n1") == first
    assert {len(person or "") for person, _ in first.values()} == {20}


def test_a_correction_that_joins_two_persons_keeps_the_older_id(tmp_path: Path) -> None:
    """Registration 2 came a night before registration 1, so its person is the older one."""
    first = link(tmp_path, "n1", [("2", "B2", BORN, "identified")])
    apart = [("1", "A1", BORN, "identified"), ("2", "B2", BORN, "identified")]
    second = link(tmp_path, "n2", apart, "n1")
    assert second["t2"] == first["t2"]
    assert second["t1"][0] != second["t2"][0]
    joined = [("1", "B2", BORN, "identified"), ("2", "B2", BORN, "identified")]
    third = link(tmp_path, "n3", joined, "n2")
    assert third["t1"] == third["t2"] == first["t2"]


def test_a_correction_that_parts_a_person_leaves_the_id_with_the_least_key(tmp_path: Path) -> None:
    joined = [("1", "A1", BORN, "identified"), ("2", "A1", BORN, "identified")]
    first = link(tmp_path, "n1", joined)
    parted = [("1", "A1", BORN, "identified"), ("2", "B2", BORN, "identified")]
    second = link(tmp_path, "n2", parted, "n1")
    assert second["t1"] == first["t1"]
    assert second["t2"][0] not in (None, first["t1"][0])


def test_a_registration_that_comes_back_is_who_it_was(tmp_path: Path) -> None:
    both = [("1", "A1", BORN, "identified"), ("2", "B2", BORN, "identified")]
    first = link(tmp_path, "n1", both)
    second = link(tmp_path, "n2", both[:1], "n1")
    assert set(second) == {"t1"}
    assert link(tmp_path, "n3", both, "n2") == first


def test_ids_are_drawn_and_not_derived(tmp_path: Path) -> None:
    rows = [(str(n), f"C{n}", BORN, "identified") for n in range(50)]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = link(tmp_path / "a", "n1", rows), link(tmp_path / "b", "n1", rows)
    assert not {person for person, _ in one.values()} & {person for person, _ in other.values()}


def test_no_registration_at_all_is_no_error(tmp_path: Path) -> None:
    linked = link_registrations(
        NewVersion(tmp_path, keyring()),
        [],
        None,
        snapshot_id="n1",
        person_map=tmp_path / "map.parquet",
        spill=tmp_path / "spill",
        review=tmp_path / "review",
    )
    assert linked == Linked(0, 0, 0)
    assert stat.S_IMODE((tmp_path / "spill").stat().st_mode) == 0o700


def test_a_crosswalk_that_cannot_be_read_stops_the_night(tmp_path: Path) -> None:
    link(tmp_path, "n1", [("1", "A1", BORN, "identified")])
    (tmp_path / "n1" / "crosswalk.parquet").write_bytes(b"PAR1")
    with pytest.raises(SnapshotError, match="every person would get another id"):
        link(tmp_path, "n2", [("1", "A1", BORN, "identified")], "n1")
