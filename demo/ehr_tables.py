"""The record system's registration tables: hospitals, feeds, patients, providers, ED visits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from demo import names
from demo.columns import (
    NOTHING,
    ZONE_COLUMN,
    chunks,
    codes,
    days,
    digits,
    instants,
    keys,
    staff_columns,
    stamp_columns,
    with_copies,
)
from demo.conditions import COMPLAINT_OF, COMPLAINTS, SEVERITY
from demo.draw import Bools, Ints
from demo.ed import OUTSIDE, feed_instants
from demo.identity import has_moved, hidden, patient_names, phones, places
from demo.templates import DISPOSITION_CODES
from demo.world import FIRST_PATIENT, FIRST_PROVIDER, FIRST_VISIT, PROVIDER_SPECIALTIES, World
from demo.zones import DAY

HOUR = 3_600
FEEDS = ("ed", "inpatient", "clinical")
IDENTITY_CODES = ("identified", "unidentified")
SEX_CODES = ("F", "M", "X", "U")
ACUITY_CODES = ("1", "2", "3", "4", "5")
ARRIVAL_MODES = ("walk_in", "ambulance", "helicopter", "police", "other", "unknown")
_OUTSIDE_HOSPITAL = "X99"
_REMARKS = (
    "{} since yesterday",
    "{}, worse at night. Lives with brother Alan, 555-0142",
    "c/o {}; seen here last week by Dr. Whitfield",
    "{} x 3 days, took Tylenol",
    "{}. Mother at bedside",
)


def hospitals_table(world: World) -> pa.Table:
    """One row per hospital."""
    plan = world.plan
    rows = np.arange(len(plan.hospitals))
    opened = np.full(len(rows), plan.data_through_at - 3_650 * DAY)
    changed = np.full(len(rows), plan.data_through_at - 400 * DAY)
    stamps = stamp_columns(opened, changed, plan.snapshot_at)
    stamps.pop("deleted_at")
    return pa.table(
        {
            "hospital_id": [hospital.code for hospital in plan.hospitals],
            "hospital_name": [hospital.name for hospital in plan.hospitals],
            "peer_group_code": [hospital.peer_group for hospital in plan.hospitals],
            "time_zone": [hospital.zone for hospital in plan.hospitals],
            "postal_code": [hospital.zip_codes[0] for hospital in plan.hospitals],
            **stamps,
            **staff_columns(world.draw, "hospitals", rows),
            ZONE_COLUMN: world.zone_of_hospital,
        }
    )


def feeds_table(world: World) -> pa.Table:
    """One row per hospital and feed; the ED feeds are how far the visits have come."""
    plan = world.plan
    count, kinds = len(plan.hospitals), len(FEEDS)
    hospital = np.repeat(np.arange(count), kinds)
    kind = np.tile(np.arange(kinds), count)
    through = feed_instants(plan)[hospital] + kind * 420
    stamps = stamp_columns(through - 500 * DAY, through + 120, plan.snapshot_at)
    stamps.pop("deleted_at")
    hospital_codes = [plan.hospitals[row].code for row in hospital]
    names_of_feeds = [FEEDS[row] for row in kind]
    return pa.table(
        {
            "feed_id": [
                f"{code}-{name}" for code, name in zip(hospital_codes, names_of_feeds, strict=True)
            ],
            "hospital_id": hospital_codes,
            "feed_name": names_of_feeds,
            "data_through_at": instants(through),
            **stamps,
            ZONE_COLUMN: world.zone_of_hospital[hospital],
        }
    )


def providers_table(world: World) -> pa.Table:
    """One row per provider: eight emergency physicians and six others at each hospital."""
    plan, draw = world.plan, world.draw
    size = len(PROVIDER_SPECIALTIES)
    rows = np.arange(len(plan.hospitals) * size)
    hospital = rows // size
    first = draw.below("provider_first", rows, len(names.FEMALE) + len(names.MALE))
    last = draw.below("provider_last", rows, len(names.LAST))
    full = pc.binary_join_element_wise(
        pa.scalar("Dr."),
        codes(names.FEMALE + names.MALE, first).cast(pa.string()),
        codes(names.LAST, last).cast(pa.string()),
        " ",
    )
    started = np.full(len(rows), plan.data_through_at - 2_000 * DAY)
    return pa.table(
        {
            "provider_id": keys(FIRST_PROVIDER + rows),
            "hospital_id": codes([h.code for h in plan.hospitals], hospital),
            "npi": digits(rows * 7_919 % 999_999_937, 9, "1"),
            "provider_name": full,
            "specialty_code": codes(PROVIDER_SPECIALTIES, rows % size),
            **stamp_columns(started, started, plan.snapshot_at),
            **staff_columns(draw, "providers", rows),
            ZONE_COLUMN: world.zone_of_hospital[hospital],
        }
    )


def patients_chunks(world: World) -> Iterator[pa.Table]:
    """One row per patient registration."""
    count = len(world.registrations)
    source = with_copies(world.draw, "patients", np.arange(count), 0.002)
    for part in chunks(len(source)):
        yield _patients(world, source[part], np.arange(part.start, part.stop))


def _patients(world: World, rows: Ints, written: Ints) -> pa.Table:
    plan, draw, all_rows = world.plan, world.draw, world.registrations
    person, hospital = all_rows.person[rows], all_rows.hospital[rows]
    unknown = all_rows.is_unidentified[rows]
    number = all_rows.health_number[rows]
    moved = has_moved(world, person, all_rows.first_seen[rows])
    place = places(world, person, rows, moved)
    deceased = np.where(unknown, NOTHING, world.died[person])
    created = all_rows.first_seen[rows] - 60 * draw.between("patient_created", rows, 1, 9)
    corrected = draw.chance("patient_corrected", rows, 0.08)
    updated = created + np.where(corrected, draw.between("patient_delay", rows, 1, 90) * DAY, 0)
    # A death is the last thing that is written into a record.
    updated = np.where(deceased != NOTHING, np.maximum(updated, (deceased + 3) * DAY), updated)
    deleted = np.where(written != rows, created + DAY, NOTHING)
    email = digits(person, 1, codes(["anna.", "j.", "the-family.", ""], person % 4))
    no_email = unknown | draw.chance("no_email", rows, 0.4)
    return pa.table(
        {
            "patient_id": keys(FIRST_PATIENT + written),
            "hospital_id": codes([h.code for h in plan.hospitals], hospital),
            "mrn": digits(
                written * 7 + 1_000_003, 8, codes([h.code for h in plan.hospitals], hospital)
            ),
            "health_number": hidden(digits(number, 10), number < 0),
            "identity_status_code": codes(IDENTITY_CODES, unknown.astype(np.int64)),
            **patient_names(world, rows),
            "birth_date": days(all_rows.born[rows], unknown & draw.chance("no_age", rows, 0.5)),
            "sex_code": codes(SEX_CODES, _sex(world, person, rows, unknown)),
            "address_line": hidden(place["address_line"], unknown),
            "city": codes([h.city for h in plan.hospitals], np.where(unknown, NOTHING, hospital)),
            "postal_code": hidden(place["postal_code"], unknown),
            "phone": hidden(phones(world, person, rows, moved), unknown),
            "email": hidden(
                pc.binary_join_element_wise(email, pa.scalar("@example.org"), ""), no_email
            ),
            "deceased_on": days(deceased, deceased == NOTHING),
            **stamp_columns(created, updated, plan.snapshot_at, deleted),
            **staff_columns(draw, "patients", written),
            ZONE_COLUMN: world.zone_of_hospital[hospital],
        }
    )


def _sex(world: World, person: Ints, rows: Ints, unknown: Bools) -> Ints:
    sex = np.where(world.people.is_female[person], 0, 1)
    sex = np.where(world.draw.chance("other_sex", person, 0.003), 2, sex)
    sex = np.where(world.draw.chance("sex_not_asked", rows, 0.006), 3, sex)
    return np.where(unknown & world.draw.chance("sex_unclear", rows, 0.2), 3, sex)


def ed_visits_chunks(world: World) -> Iterator[pa.Table]:
    """One row per ED registration, the soft-deleted copies among them."""
    for part in chunks(len(world.written.row)):
        yield _ed_visits(world, part)


def _ed_visits(world: World, part: slice) -> pa.Table:
    plan, draw, written = world.plan, world.draw, world.written
    source = written.row[part]
    shift = written.shift[part]
    ids = FIRST_VISIT + np.arange(part.start, part.stop)
    visits = world.visits.take(source)
    is_copy = shift > 0
    hospital_codes = [hospital.code for hospital in plan.hospitals]
    sender = np.where(visits.sent_by == OUTSIDE, len(hospital_codes), visits.sent_by)
    complaint = COMPLAINT_OF[world.condition[source]]
    last = np.maximum(visits.effective, visits.arrived)
    created = visits.arrived + shift + 30
    corrected = draw.chance("visit_corrected", ids, 0.05)
    updated = last + 600 + np.where(corrected, draw.between("visit_delay", ids, 1, 25) * DAY, 0)
    deleted = np.where(is_copy, created + draw.between("copy_deleted", ids, 1, 20) * HOUR, NOTHING)
    return pa.table(
        {
            "visit_id": keys(ids),
            "hospital_id": codes(hospital_codes, visits.hospital),
            "patient_id": keys(FIRST_PATIENT + world.registrations.of_visit[source]),
            "provider_id": keys(world.provider_of_visit[source], visits.seen == NOTHING),
            "visit_number": digits(
                ids * 3, 9, codes([f"{c}E" for c in hospital_codes], visits.hospital)
            ),
            "arrived_at": instants(visits.arrived + shift),
            "triaged_at": instants(visits.triaged),
            "seen_at": instants(visits.seen),
            "disposition_at": instants(visits.decided),
            "departed_at": instants(visits.departed),
            "acuity_code": codes(ACUITY_CODES, _acuity(world, source)),
            "arrival_mode_code": codes(ARRIVAL_MODES, _arrival_mode(world, source)),
            "complaint_code": codes(COMPLAINTS, complaint),
            "chief_complaint": _remark(world, source, complaint),
            "disposition_code": codes(DISPOSITION_CODES, visits.disposition),
            "is_planned": pa.array(visits.is_planned),
            "sent_by_hospital_id": codes([*hospital_codes, _OUTSIDE_HOSPITAL], sender),
            **stamp_columns(created, updated, plan.snapshot_at, deleted),
            **staff_columns(draw, "ed_visits", ids),
            ZONE_COLUMN: world.zone_of_hospital[visits.hospital],
        }
    )


def _acuity(world: World, source: Ints) -> Ints:
    number = world.visits.number[source]
    spread = 0.22 * world.draw.normal("acuity", number)
    level = np.digitize(1.0 - SEVERITY[world.condition[source]] + spread, [0.08, 0.34, 0.64, 0.9])
    not_triaged = world.visits.triaged[source] == NOTHING
    return np.where(not_triaged, NOTHING, level)


def _arrival_mode(world: World, source: Ints) -> Ints:
    number = world.visits.number[source]
    by_ambulance = 0.05 + 0.5 * SEVERITY[world.condition[source]] ** 2
    other = world.draw.choice("arrival_mode", number, [0.955, 0, 0.002, 0.012, 0.011, 0.02])
    return np.where(world.draw.chance("ambulance", number, by_ambulance), 1, other)


def _remark(world: World, source: Ints, complaint: Ints) -> pa.Array:
    number = world.visits.number[source]
    words = [remark.format(name.replace("_", " ")) for name in COMPLAINTS for remark in _REMARKS]
    pick = complaint * len(_REMARKS) + world.draw.below("remark", number, len(_REMARKS))
    return codes(words, np.where(world.draw.chance("no_remark", number, 0.1), NOTHING, pick))
