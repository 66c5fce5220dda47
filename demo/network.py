"""Plants a synthetic hospital network into operational databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from demo import clinical, diagnoses, ehr_tables, write_postgres, write_sqlite
from demo.bad_values import bad_values_table, plan_bad_values
from demo.billing_tables import Book
from demo.ledger import write_ledger
from demo.plans import Plan, default_plan, ontario_plan
from demo.world import World, build_world

Scale = Literal["default", "ontario"]
Progress = Callable[[str], None]
Tables = list[tuple[str, Iterator[pa.Table]]]

_HEAD = """# Written by the demo: a synthetic network, no person in it ever lived.
synthetic = true
"""
# The real programme joins visits by the health card's number and has published what that gives.
_BY_NUMBER = """
[matching]
method = "deterministic"
"""
_SQLITE = """
[sources.{source}]
kind = "sqlite"
path = "sources/{source}.sqlite"
"""
_CHART_AUDIT = """
[sources.chart_audit]
kind = "sqlite"
path = "handed_over/chart_audit.sqlite"
"""
_POSTGRES = """
[sources.{source}]
kind = "postgresql"
dsn_env = "SCUTARI_{name}_DSN"
"""


def _silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Planted:
    """What was written: rows per table (as ``source.table``), people and ED visits."""

    rows: dict[str, int]
    people: int
    visits: int

    def __str__(self) -> str:
        return (
            f"{self.visits:,} ED registrations of {self.people:,} people,"
            f" {sum(self.rows.values()):,} rows in {len(self.rows)} tables"
        )


def plant_network(
    home: Path,
    *,
    visits: int = 60_000,
    seed: int = 1854,
    scale: Scale = "default",
    dsn: str | Mapping[str, str] | None = None,
    progress: Progress = _silent,
) -> Planted:
    """Write a synthetic network's operational databases and the ledger of what was planted.

    Safe to run twice: every file is built beside its place and renamed over it, every PostgreSQL
    database is written in one transaction.

    Args:
        home: the installation's home directory.
        visits: ED visits to plant, at the default scale.
        seed: the same seed plants the same network.
        scale: ``default``, or ``ontario`` for the published counts of the Ontario programme.
        dsn: where to write to PostgreSQL instead of SQLite: one connection string for both
            databases, or one for each (``ehr``, ``billing``). It is not stored: ``scutari.toml``
            names the environment variables that hold it.
        progress: is told what has been written.

    Returns:
        What was written; as text, one line for a person.

    Raises:
        PlanError: there are too few visits to hold what the plan plants.
    """
    plan = ontario_plan() if scale == "ontario" else default_plan(visits)
    return plant(plan, home, seed=seed, dsn=dsn, progress=progress)


def plant(
    plan: Plan,
    home: Path,
    *,
    seed: int = 1854,
    dsn: str | Mapping[str, str] | None = None,
    progress: Progress = _silent,
) -> Planted:
    """Write the databases and the ledger of one plan."""
    world = build_world(plan, seed)
    progress(f"planned {len(world.visits):,} ED registrations of {world.people.count:,} people")
    book = Book(world)
    bad_values = plan_bad_values(world)
    counts: dict[str, int] = {}
    for source, tables in (("ehr", ehr_tables_of(world)), ("billing", book.tables())):
        planted = bad_values if source == "ehr" else []
        if dsn is None:
            written = write_sqlite.write_database(
                home / "sources" / f"{source}.sqlite",
                source,
                tables,
                plan.zones,
                progress,
                statements=[bad.statement(bad.sqlite, bad.table) for bad in planted],
            )
        else:
            written = write_postgres.write_database(
                dsn if isinstance(dsn, str) else dsn[source],
                source,
                tables,
                progress,
                statements=[
                    bad.statement(bad.postgres, "{schema}." + bad.table) for bad in planted
                ],
            )
        counts |= {f"{source}.{name}": rows for name, rows in written.items()}
    extra = {
        "expected_billing": book.expected(),
        "members": book.expected_members(),
        "bad_values": bad_values_table(bad_values),
    }
    write_ledger(world, home / "demo", extra)
    _write_settings(home, is_sqlite=dsn is None, by_number=not plan.has_broken_pairs)
    return Planted(counts, people=world.people.count, visits=len(world.visits))


def _write_settings(home: Path, *, is_sqlite: bool, by_number: bool) -> None:
    """Write ``scutari.toml`` unless the user has one."""
    path = home / "scutari.toml"
    if path.exists():
        return
    body = _SQLITE if is_sqlite else _POSTGRES
    parts = [body.format(source=source, name=source.upper()) for source in ("ehr", "billing")]
    parts.append(_CHART_AUDIT)
    if by_number:
        parts.append(_BY_NUMBER)
    path.write_text(_HEAD + "".join(parts), encoding="utf-8")


def ehr_tables_of(world: World) -> Tables:
    """Return the record system's tables in the order in which they are written."""
    return [
        ("hospitals", iter([ehr_tables.hospitals_table(world)])),
        ("feeds", iter([ehr_tables.feeds_table(world)])),
        ("providers", iter([ehr_tables.providers_table(world)])),
        ("patients", ehr_tables.patients_chunks(world)),
        ("ed_visits", ehr_tables.ed_visits_chunks(world)),
        ("ed_visit_diagnoses", diagnoses.ed_diagnoses_chunks(world)),
        ("inpatient_encounters", diagnoses.inpatient_encounters_chunks(world)),
        ("inpatient_diagnoses", diagnoses.ward_diagnoses_chunks(world)),
        ("observations", clinical.observations_chunks(world)),
        ("medications", clinical.medications_chunks(world)),
        ("procedures", clinical.procedures_chunks(world)),
    ]
