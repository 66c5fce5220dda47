"""The worked histories of every measure as operational rows.

They live in an installation with other histories: their hospitals have names of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from ops.histories.measure_histories import EdVisit, Inpatient, MeasureHistory

# Before the hospital's name in the history; no other history has a hospital that begins so.
MARK = "M"
FIRST_ID = 10_000

Rows = dict[str, list[dict[str, Any]]]


def operational_rows(histories: Sequence[MeasureHistory]) -> tuple[Rows, dict[int, str]]:
    """Rows by table of the EHR; and the name of each ED visit by its id."""
    contacts = [(history, contact) for history in histories for contact in history.contacts]
    places = sorted({(history.person, contact.hospital) for history, contact in contacts})
    patient = {place: number for number, place in enumerate(places, FIRST_ID)}
    number_of = {contact.key: number for number, (_, contact) in enumerate(contacts, FIRST_ID)}
    people = {history.person: history for history in histories}
    rows: Rows = {
        "patients": [
            {
                "patient_id": patient[person, hospital],
                "hospital_id": MARK + hospital,
                "health_number": f"HN-{person}",
                "birth_date": people[person].born_on,
                "deceased_on": people[person].died_on,
            }
            for person, hospital in places
        ],
        "ed_visits": [],
        "ed_visit_diagnoses": [],
        "inpatient_encounters": [],
        "inpatient_diagnoses": [],
    }
    for history, contact in contacts:
        whose = {
            "hospital_id": MARK + contact.hospital,
            "patient_id": patient[history.person, contact.hospital],
        }
        _add(rows, contact, whose, number_of)
    names = {number_of[visit.key]: visit.key for history in histories for visit in history.visits}
    return rows, names


def _add(
    rows: Rows, contact: EdVisit | Inpatient, whose: dict[str, Any], number_of: dict[str, int]
) -> None:
    number, zone = number_of[contact.key], contact.time_zone
    diagnosis = {"diagnosis_id": number, "diagnosis_code": contact.diagnosis}
    if isinstance(contact, EdVisit):
        visit = {
            "visit_id": number,
            "arrived_at": _local(contact.arrived_at, zone),
            "departed_at": _local(contact.departed_at, zone),
            "disposition_code": contact.disposition,
            "is_planned": contact.is_planned,
        }
        rows["ed_visits"].append(whose | visit)
        if contact.diagnosis:
            rows["ed_visit_diagnoses"].append(diagnosis | {"visit_id": number})
        return
    encounter = {
        "encounter_id": number,
        "ed_visit_id": number_of[contact.ed_visit] if contact.ed_visit else None,
        "admitted_at": _local(contact.admitted_at, zone),
        "discharged_at": _local(contact.discharged_at, zone),
        "admission_type_code": contact.admission_type,
    }
    rows["inpatient_encounters"].append(whose | encounter)
    if contact.diagnosis:
        rows["inpatient_diagnoses"].append(diagnosis | {"encounter_id": number})


def _local(at: datetime | None, zone: str) -> datetime | None:
    return at and at.astimezone(ZoneInfo(zone))


def time_zones(histories: Sequence[MeasureHistory]) -> dict[str, str]:
    """Hospital -> time zone."""
    return {
        MARK + contact.hospital: contact.time_zone
        for history in histories
        for contact in history.contacts
    }
