"""A hand-built lake: one signed snapshot of two small files, without any database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from extract.identity.tokens import key_id, load_or_create_key
from extract.lake import CURRENT, Manifest, Partition, Quarantined, switch, write_manifest
from extract.partitions import describe_file, write_table
from governance.settings import Settings, SourceSettings

TAKEN_AT = datetime(2024, 6, 1, tzinfo=UTC)
NAME = "20260701T031500Z"
FILE = "ehr/visits/2026-06.parquet"
OTHER = "ehr/visits/2026-07.parquet"
# In June one row went to quarantine as a whole and two more values without their rows.
JUNE = Partition(
    rows=3,
    dropped=1,
    digest="x",
    quarantined=(
        Quarantined("visit_id", "null_key", True, 1),
        Quarantined("sex_code", "unknown_code", False, 2),
    ),
    emptied={"sex_code": 2},
    dropped_nulls={"visit_id": 1},
)
JULY = Partition(rows=2, dropped=0, digest="y")


def small_settings(home: Path) -> Settings:
    """Return an installation of one PostgreSQL source, with a token key."""
    source = SourceSettings("ehr", "postgresql", dsn_env="SCUTARI_TEST_DSN")
    settings = Settings(home=home, sources={"ehr": source})
    load_or_create_key(settings.vault, allow_create=True)
    return settings


def write_snapshot(settings: Settings, name: str = NAME) -> Manifest:
    """Write the snapshot under a name and make it current; return its manifest."""
    key = load_or_create_key(settings.vault, allow_create=False)
    directory = settings.lake / name
    files = {}
    for path, rows in ((FILE, 3), (OTHER, 2)):
        write_table(directory / path, pa.table({"a": list(range(rows))}))
        files[path] = describe_file(directory / path)
    manifest = Manifest(
        snapshot_id=name,
        taken_at="2026-07-01T03:15:00+00:00",
        is_synthetic=True,
        contract_hash="c",
        key_id=key_id(key),
        tables={"ehr": {"visits": {"2026-06": JUNE, "2026-07": JULY}}},
        files=files,
    )
    write_manifest(directory, manifest, key)
    switch(settings.lake / CURRENT, name)
    return manifest


def write_empty_snapshot(home: Path, name: str) -> Path:
    """Write what dbt asks of a snapshot, and no table; make it current and return its directory."""
    directory = home / "lake" / name
    row = {
        "snapshot_id": pa.array([name]),
        "taken_at": pa.array([TAKEN_AT], pa.timestamp("us", "UTC")),
        "is_synthetic": pa.array([True]),
        "contract_hash": pa.array(["none"]),
    }
    (directory / "quality" / "snapshots").mkdir(parents=True)
    pq.write_table(pa.table(row), directory / "quality" / "snapshots" / "all.parquet")
    (directory / "_manifest.json").write_text("{}")
    switch(home / "lake" / CURRENT, name)
    return directory
