"""The operational databases' tables: what a hospital's and a biller's own system would hold.

Plain definitions, written once and rendered for SQLite and PostgreSQL. They hold more than the
contracts declare: ``internal_note`` and ``entered_by`` exist in the databases and must never leave.
The first column of a table is its primary key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

INSTANT = pa.timestamp("s", tz="UTC")
MONEY = "numeric(12,2)"

_STAMPS = "created_at timestamp, updated_at timestamp"
_DELETED = _STAMPS + ", deleted_at timestamp"
_NOTES = "internal_note text, entered_by text"

_EHR = {
    "hospitals": f"hospital_id text, hospital_name text, peer_group_code text, time_zone text,"
    f" postal_code text, {_STAMPS}, {_NOTES}",
    "feeds": f"feed_id text, hospital_id text, feed_name text,"
    f" data_through_at timestamp, {_STAMPS}",
    "patients": "patient_id bigint, hospital_id text, mrn text, health_number text,"
    " identity_status_code text, first_name text, last_name text, birth_date date, sex_code text,"
    " address_line text, city text, postal_code text, phone text, email text, deceased_on date,"
    f" {_DELETED}, {_NOTES}",
    "providers": "provider_id bigint, hospital_id text, npi text, provider_name text,"
    f" specialty_code text, {_DELETED}, {_NOTES}",
    "ed_visits": "visit_id bigint, hospital_id text, patient_id bigint, provider_id bigint,"
    " visit_number text, arrived_at timestamp, triaged_at timestamp, seen_at timestamp,"
    " disposition_at timestamp, departed_at timestamp, acuity_code text, arrival_mode_code text,"
    " complaint_code text, chief_complaint text, disposition_code text, is_planned boolean,"
    f" sent_by_hospital_id text, {_DELETED}, {_NOTES}",
    "ed_visit_diagnoses": "diagnosis_id bigint, visit_id bigint, sequence_number int,"
    f" diagnosis_code text, recorded_at timestamp, {_DELETED}",
    "inpatient_encounters": "encounter_id bigint, hospital_id text, patient_id bigint,"
    " ed_visit_id bigint, provider_id bigint, admitted_at timestamp, discharged_at timestamp,"
    f" admission_type_code text, discharge_disposition_code text, {_DELETED}, {_NOTES}",
    "inpatient_diagnoses": "diagnosis_id bigint, encounter_id bigint, sequence_number int,"
    f" diagnosis_code text, recorded_at timestamp, {_DELETED}",
    "observations": "observation_id bigint, hospital_id text, patient_id bigint,"
    " ed_visit_id bigint, encounter_id bigint, observed_at timestamp, observation_code text,"
    f" value numeric(18,4), unit_code text, {_DELETED}",
    "medications": "medication_id bigint, hospital_id text, patient_id bigint, ed_visit_id bigint,"
    " encounter_id bigint, administered_at timestamp, medication_code text, dose numeric(12,3),"
    f" dose_unit_code text, route_code text, {_DELETED}",
    "procedures": "procedure_id bigint, hospital_id text, patient_id bigint, ed_visit_id bigint,"
    f" encounter_id bigint, performed_at timestamp, procedure_code text, {_DELETED}",
}

_BILLING = {
    "payers": f"payer_id text, payer_name text, payer_type_code text, {_STAMPS}, {_NOTES}",
    "members": "member_id bigint, subscriber_number text, health_number text, first_name text,"
    f" last_name text, birth_date date, sex_code text, postal_code text, {_DELETED}, {_NOTES}",
    "coverages": "coverage_id bigint, member_id bigint, payer_id text, product_code text,"
    f" starts_on date, ends_on date, {_DELETED}",
    "claims": "claim_id bigint, claim_number text, member_id bigint, payer_id text,"
    " hospital_id text, billing_npi text, claim_type_code text, frequency_code text,"
    " replaces_claim_id bigint, principal_diagnosis_code text, service_from_on date,"
    f" service_to_on date, received_on date, billed_amount {MONEY}, {_DELETED}, {_NOTES}",
    "claim_lines": "claim_line_id bigint, claim_id bigint, line_number int, revenue_code text,"
    f" procedure_code text, units numeric(9,2), service_on date, billed_amount {MONEY}, {_DELETED}",
    "remittances": "remittance_id bigint, claim_id bigint, claim_line_id bigint, paid_on date,"
    f" status_code text, paid_amount {MONEY}, {_DELETED}",
    "remittance_adjustments": "adjustment_id bigint, remittance_id bigint, group_code text,"
    f" reason_code text, amount {MONEY}, {_DELETED}",
}


@dataclass(frozen=True)
class Column:
    """One column: its name and its type as PostgreSQL would call it."""

    name: str
    kind: str

    @property
    def arrow(self) -> pa.DataType:
        """The column's Arrow type."""
        if self.kind.startswith("numeric"):
            precision, scale = self.kind[8:-1].split(",")
            return pa.decimal128(int(precision), int(scale))
        return {
            "bigint": pa.int64(),
            "int": pa.int32(),
            "text": pa.string(),
            "timestamp": INSTANT,
            "date": pa.date32(),
            "boolean": pa.bool_(),
        }[self.kind]


@dataclass(frozen=True)
class Table:
    """One operational table."""

    source: str
    name: str
    columns: tuple[Column, ...]

    @property
    def arrow(self) -> pa.Schema:
        """The table's Arrow schema."""
        return pa.schema([(column.name, column.arrow) for column in self.columns])


def _parse(source: str, name: str, text: str) -> Table:
    # The comma inside numeric(12,2) is followed by a digit, the one between columns by a space.
    pairs = (part.split(maxsplit=1) for part in text.split(", "))
    return Table(source, name, tuple(Column(column, kind) for column, kind in pairs))


TABLES: dict[str, dict[str, Table]] = {
    source: {name: _parse(source, name, text) for name, text in bodies.items()}
    for source, bodies in (("ehr", _EHR), ("billing", _BILLING))
}

_SQLITE = {"bigint": "INTEGER", "int": "INTEGER", "boolean": "INTEGER"}
_POSTGRES = {"timestamp": "timestamptz", "int": "integer"}


def sqlite_ddl(table: Table) -> str:
    """Return the ``create table`` statement for SQLite."""
    return _ddl(table, lambda kind: _SQLITE.get(kind, "TEXT"))


def postgres_ddl(table: Table, schema: str = "public") -> str:
    """Return the ``create table`` statement for PostgreSQL."""
    return _ddl(table, lambda kind: _POSTGRES.get(kind, kind), prefix=f'"{schema}".')


def _ddl(table: Table, render: Callable[[str], str], prefix: str = "") -> str:
    key = table.columns[0].name
    lines = [
        f"    {column.name} {render(column.kind)}" + (" PRIMARY KEY" if column.name == key else "")
        for column in table.columns
    ]
    return f"CREATE TABLE {prefix}{table.name} (\n" + ",\n".join(lines) + "\n)"
