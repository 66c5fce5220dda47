"""Plants a synthetic hospital network into operational databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pyarrow as pa

from demo import clinical, diagnoses, ehr_tables
from demo.billing_tables import Book
from demo.ledger import write_ledger
from demo.plans import Plan, default_plan, ontario_plan
from demo.world import World, build_world
from demo.write_sqlite import write_database

Scale = Literal["default", "ontario"]
Progress = Callable[[str], None]
Tables = list[tuple[str, Iterator[pa.Table]]]

_SETTINGS = """# Written by the demo: a synthetic network, no person in it ever lived.
synthetic = true

[sources.ehr]
kind = "sqlite"
path = "sources/ehr.sqlite"

[sources.billing]
kind = "sqlite"
path = "sources/billing.sqlite"
"""


def _silent(_: str) -> None:
    """Say nothing."""


def plant_network(
    home: Path,
    *,
    visits: int = 60_000,
    seed: int = 1854,
    scale: Scale = "default",
    progress: Progress = _silent,
) -> dict[str, int]:
    """Write a synthetic network's operational databases and the ledger of what was planted.

    Safe to run twice: every file is built beside its place and renamed over it.

    Args:
        home: the installation's home directory.
        visits: ED visits to plant, at the default scale.
        seed: the same seed plants the same network.
        scale: ``default``, or ``ontario`` for the published counts of the Ontario programme.
        progress: is told what has been written.

    Returns:
        Rows per table, as ``source.table``.
    """
    plan = ontario_plan() if scale == "ontario" else default_plan(visits)
    return plant(plan, home, seed=seed, progress=progress)


def plant(
    plan: Plan, home: Path, *, seed: int = 1854, progress: Progress = _silent
) -> dict[str, int]:
    """Write the databases and the ledger of one plan."""
    world = build_world(plan, seed)
    progress(f"planned {len(world.visits):,} ED registrations of {world.people.count:,} people")
    book = Book(world)
    counts: dict[str, int] = {}
    for source, tables in (("ehr", ehr_tables_of(world)), ("billing", book.tables())):
        path = home / "sources" / f"{source}.sqlite"
        written = write_database(path, source, tables, plan.zones, progress)
        counts |= {f"{source}.{name}": rows for name, rows in written.items()}
    write_ledger(
        world,
        home / "demo",
        {"expected_billing": book.expected(), "members": book.expected_members()},
    )
    settings = home / "scutari.toml"
    if not settings.exists():
        settings.write_text(_SETTINGS, encoding="utf-8")
    return counts


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
