"""A handful of values that no contract lets through, as every real database holds some.

They lie in rows that no planted pair, no main diagnosis and no count of visits relies on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from demo.clinical import FIRST_MEDICATION, FIRST_OBSERVATION, FIRST_PROCEDURE
from demo.diagnoses import FIRST_ED_DIAGNOSIS, diagnoses_of_visits
from demo.world import FIRST_PATIENT, World

CODE, INSTANT, NUMBER = "code_outside_its_system", "unreadable_instant", "unreadable_number"


@dataclass(frozen=True)
class BadValue:
    """One planted value.

    Attributes:
        sqlite: what a SQLite column holds, which takes anything.
        postgres: what the typed column of PostgreSQL can hold instead.
    """

    table: str
    key_column: str
    key: int
    column: str
    sqlite: str
    postgres: str
    kind: str

    def statement(self, value: str, table: str) -> str:
        """Return the update that plants it."""
        text = value.replace("'", "''")
        return f"UPDATE {table} SET {self.column} = '{text}' WHERE {self.key_column} = {self.key}"


def plan_bad_values(world: World) -> list[BadValue]:
    """Choose the rows and what is wrong with them."""
    if not world.plan.has_bad_values:
        return []
    single = np.flatnonzero(world.visits.template == 0)
    picks = single[(np.array([0.2, 0.5, 0.8]) * len(single)).astype(np.int64)]
    visits = [int(key) for key in world.written.id_of_visit[picks]]
    secondary = np.flatnonzero(diagnoses_of_visits(world).sequence > 1)
    diagnoses = [FIRST_ED_DIAGNOSIS + int(row) for row in secondary[[1, 5]]]
    mail, note = "headache, call mary.smith@example.org", "see note (Dr. Hart)"
    name = "R10.9 - wife Ruth 555-0134"
    bad_codes = [
        ("ed_visits", "visit_id", visits[0], "complaint_code", mail),
        ("ed_visits", "visit_id", visits[1], "acuity_code", note),
        ("ed_visits", "visit_id", visits[2], "arrival_mode_code", "brought in by Sgt. Doyle"),
        ("ed_visit_diagnoses", "diagnosis_id", diagnoses[0], "diagnosis_code", name),
        ("ed_visit_diagnoses", "diagnosis_id", diagnoses[1], "diagnosis_code", "Z99.999X"),
        ("patients", "patient_id", FIRST_PATIENT + 3, "postal_code", "K1A 0B1"),
    ]
    observation, medication = FIRST_OBSERVATION + 10, FIRST_MEDICATION + 5
    unreadable = [
        ("observations", "observation_id", observation, "observed_at", "2025-13-45T99:99:00"),
        ("observations", "observation_id", observation + 7, "observed_at", "yesterday 9pm"),
        ("medications", "medication_id", medication, "administered_at", "31/12/2025 10:00"),
        ("procedures", "procedure_id", FIRST_PROCEDURE + 2, "performed_at", "2025-02-30T10:00:00Z"),
    ]
    numbers = [
        ("observations", "observation_id", observation + 11, "value", "haemolysed"),
        ("medications", "medication_id", medication + 4, "dose", "two tabs"),
    ]
    return [
        *(BadValue(*row, row[4], CODE) for row in bad_codes),
        *(BadValue(*row, "infinity", INSTANT) for row in unreadable),
        *(BadValue(*row, "NaN", NUMBER) for row in numbers),
    ]


def bad_values_table(values: list[BadValue]) -> pa.Table:
    """Return the planted values for the ledger."""
    names = ("table", "key_column", "key", "column", "sqlite", "postgres", "kind")
    kinds = {name: pa.int64() if name == "key" else pa.string() for name in names}
    return pa.table(
        {
            name: pa.array([getattr(value, name) for value in values], kind)
            for name, kind in kinds.items()
        }
    )
