"""Inpatient encounters and diagnoses, in the ED and on discharge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from demo.columns import (
    NOTHING,
    ZONE_COLUMN,
    chunks,
    codes,
    instants,
    keys,
    staff_columns,
    stamp_columns,
    with_copies,
)
from demo.conditions import ALL_CODES, CHRONIC
from demo.draw import Bools, Ints
from demo.inpatient import ADMISSION_TYPES, DISCHARGE_CODES, EMERGENCY
from demo.world import (
    EMERGENCY_PROVIDERS,
    FIRST_PATIENT,
    FIRST_PROVIDER,
    FIRST_STAY,
    PROVIDER_SPECIALTIES,
    World,
)
from demo.zones import DAY

FIRST_ED_DIAGNOSIS, FIRST_WARD_DIAGNOSIS = 20_000_001, 60_000_001
_SPELLINGS = ALL_CODES + tuple(code.replace(".", "") for code in ALL_CODES)


def inpatient_encounters_chunks(world: World) -> Iterator[pa.Table]:
    """One row per inpatient encounter."""
    order = np.argsort(world.stay_ids)
    order = order[with_copies(world.draw, "encounters", world.stays.number[order], 0.003)]
    for part in chunks(len(order)):
        yield _encounters(world, order[part], FIRST_STAY + np.arange(part.start, part.stop))


def _encounters(world: World, rows: Ints, ids: Ints) -> pa.Table:
    plan, draw, stays = world.plan, world.draw, world.stays
    visit = stays.visit[rows]
    is_copy = ids != world.stay_ids[rows]
    hospital = world.visits.hospital[visit]
    others = len(PROVIDER_SPECIALTIES) - EMERGENCY_PROVIDERS
    attending = EMERGENCY_PROVIDERS + draw.below("attending", stays.number[rows], others)
    end = np.maximum(stays.discharged[rows], stays.admitted[rows])
    return pa.table(
        {
            "encounter_id": keys(ids),
            "hospital_id": codes([h.code for h in plan.hospitals], hospital),
            "patient_id": keys(FIRST_PATIENT + world.registrations.of_visit[visit]),
            "ed_visit_id": keys(world.written.id_of_visit[visit], stays.kind[rows] != EMERGENCY),
            "provider_id": keys(FIRST_PROVIDER + hospital * len(PROVIDER_SPECIALTIES) + attending),
            "admitted_at": instants(stays.admitted[rows]),
            "discharged_at": instants(stays.discharged[rows]),
            "admission_type_code": codes(ADMISSION_TYPES, stays.kind[rows]),
            "discharge_disposition_code": codes(DISCHARGE_CODES, stays.discharge[rows]),
            **stamp_columns(
                stays.admitted[rows] + 300,
                end + 900,
                plan.snapshot_at,
                np.where(is_copy, stays.admitted[rows] + 7_200, NOTHING),
            ),
            **staff_columns(draw, "inpatient_encounters", ids),
            ZONE_COLUMN: world.zone_of_hospital[hospital],
        }
    )


@dataclass(frozen=True)
class DiagnosisRows:
    """Diagnosis rows in the order of their keys."""

    parent: Ints  # key of the visit or encounter
    sequence: Ints
    code: Ints
    recorded: Ints
    hospital: Ints
    deleted: Ints


def ed_diagnoses_chunks(world: World) -> Iterator[pa.Table]:
    """One row per diagnosis of an ED visit."""
    rows = diagnoses_of_visits(world)
    return _chunks(world, rows, "ed_visit_diagnoses", "visit_id", FIRST_ED_DIAGNOSIS)


def diagnoses_of_visits(world: World) -> DiagnosisRows:
    """Lay out the diagnoses of all ED visits in the order of their keys."""
    visits = world.visits
    return _diagnosis_rows(
        world,
        parent=world.written.id_of_visit,
        person=visits.person,
        number=visits.number,
        main=world.main.of_visit,
        recorded=visits.effective,
        hospital=visits.hospital,
        chronic_share=0.05 if world.plan.is_thin else 0.45,
    )


def ward_diagnoses_chunks(world: World) -> Iterator[pa.Table]:
    """One row per discharge diagnosis of an inpatient encounter."""
    stays, visits = world.stays, world.visits
    rows = _diagnosis_rows(
        world,
        parent=world.stay_ids,
        person=visits.person[stays.visit],
        number=stays.number,
        main=world.main.of_stay,
        recorded=stays.discharged,
        hospital=visits.hospital[stays.visit],
        chronic_share=0.3 if world.plan.is_thin else 0.8,
    )
    return _chunks(world, rows, "inpatient_diagnoses", "encounter_id", FIRST_WARD_DIAGNOSIS)


def _diagnosis_rows(
    world: World,
    *,
    parent: Ints,
    person: Ints,
    number: Ints,
    main: Ints,
    recorded: Ints,
    hospital: Ints,
    chronic_share: float,
) -> DiagnosisRows:
    """Put main and secondary diagnoses of every visit in one order; add a few deleted ones."""
    coded = np.flatnonzero(main != NOTHING)
    rows, ranks, values = [coded], [np.zeros(len(coded))], [main[coded]]
    unknown = world.visits.is_unidentified[np.searchsorted(world.visits.number, number)]
    for position, (name, code, _) in enumerate(CHRONIC):
        told = world.draw.chance(f"told/{name}", number, chronic_share)
        has = (main != NOTHING) & ~unknown & world.chronic[person, position] & told
        found = np.flatnonzero(has & (main != ALL_CODES.index(code)))
        rows.append(found)
        ranks.append(np.full(len(found), position + 1.0))
        values.append(np.full(len(found), ALL_CODES.index(code)))
    live = sum(len(part) for part in rows)
    wrong = coded[world.draw.chance("wrong_diagnosis", number[coded], 0.002)]
    rows.append(wrong)
    ranks.append(np.full(len(wrong), -1.0))
    values.append((main[wrong] + 1) % len(ALL_CODES))
    gone = np.concatenate([np.zeros(live, np.bool_), np.ones(len(wrong), np.bool_)])
    row, rank = np.concatenate(rows), np.concatenate(ranks)
    order = np.lexsort((rank, parent[row]))
    row, gone = row[order], gone[order]
    codes_ = np.concatenate(values)[order]
    sequence = _sequence(row, gone)
    # Hospitals differ in whether they write the dot; so do clerks, now and then.
    undotted = (hospital[row] % 2 == 1) ^ world.draw.chance("dot_slip", row, 0.03)
    return DiagnosisRows(
        parent=parent[row],
        sequence=sequence,
        code=codes_ + undotted * len(ALL_CODES),
        recorded=recorded[row],
        hospital=hospital[row],
        deleted=np.where(gone, recorded[row] + 2 * DAY, NOTHING),
    )


def _sequence(row: Ints, gone: Bools) -> Ints:
    """Number the standing diagnoses of a parent from 1; a deleted one had been the main one."""
    standing = np.cumsum(~gone)
    first = np.concatenate([[True], row[1:] != row[:-1]])
    before = np.maximum.accumulate(np.where(first, standing - ~gone, 0))
    return np.where(gone, 1, standing - before)


def _chunks(
    world: World, rows: DiagnosisRows, table: str, parent_column: str, first_key: int
) -> Iterator[pa.Table]:
    for part in chunks(len(rows.parent)):
        ids = first_key + np.arange(part.start, part.stop)
        recorded = rows.recorded[part]
        delay = world.draw.between(f"{table}/delay", ids, 0, 3) * DAY
        yield pa.table(
            {
                "diagnosis_id": keys(ids),
                parent_column: keys(rows.parent[part]),
                "sequence_number": pa.array(rows.sequence[part].astype(np.int32)),
                "diagnosis_code": codes(_SPELLINGS, rows.code[part]),
                "recorded_at": instants(recorded),
                **stamp_columns(
                    recorded, recorded + delay, world.plan.snapshot_at, rows.deleted[part]
                ),
                ZONE_COLUMN: world.zone_of_hospital[rows.hospital[part]],
            }
        )
