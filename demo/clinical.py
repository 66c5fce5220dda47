"""What was measured, given and done: vital signs, laboratory, medications, procedures."""

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
    decimals,
    instants,
    keys,
    stamp_columns,
)
from demo.conditions import CHRONIC, CONDITIONS, SEVERITY
from demo.draw import Bools, Floats, Ints
from demo.ed import feed_instants
from demo.schema import TABLES
from demo.world import FIRST_PATIENT, World
from demo.zones import DAY

HOUR = 3_600
FIRST_OBSERVATION, FIRST_MEDICATION, FIRST_PROCEDURE = 300_000_001, 400_000_001, 450_000_001
_ANY: tuple[str, ...] = ()
# Share of those concerned, their conditions, on a ward or not, the chronic condition asked for.
_Entry = tuple[float, tuple[str, ...], bool, int | None]


@dataclass(frozen=True)
class Test:
    """One vital sign or laboratory test, and how its results lie.

    Attributes:
        shift: how much the mean moves from a minor to a life-threatening condition.
        decimals: places in which a result is written.
        conditions: who is tested; everybody where empty.
    """

    code: str
    unit: str
    mean: float
    spread: float
    shift: float
    decimals: int
    share: float
    limits: tuple[float, float]
    conditions: tuple[str, ...] = _ANY
    on_ward: bool = False


_CHEST = ("chest_pain", "heart_attack", "fibrillation", "faint", "heart_failure")
_INFECTED = ("sepsis", "pneumonia", "pyelonephritis", "cellulitis", "fever")
_ILL = tuple(c.name for c in CONDITIONS if c.severity >= 0.5)  # noqa: PLR2004
TESTS = (
    Test("8867-4", "/min", 80, 13, 26, 0, 0.75, (35, 220)),
    Test("9279-1", "/min", 16, 2.5, 7, 0, 0.60, (6, 60)),
    Test("8480-6", "mm[Hg]", 132, 18, -14, 0, 0.75, (60, 250)),
    Test("8462-4", "mm[Hg]", 78, 11, -8, 0, 0.75, (30, 150)),
    Test("8310-5", "Cel", 36.8, 0.45, 0.4, 1, 0.60, (33, 41.8)),
    # Some thermometers still show Fahrenheit.
    Test("8310-5", "[degF]", 98.4, 0.8, 0.7, 1, 0.03, (92, 107)),
    Test("59408-5", "%", 97.6, 1.4, -3.0, 0, 0.70, (70, 100)),
    Test("72514-3", "{score}", 4.5, 2.3, 1.0, 0, 0.35, (0, 10)),
    Test("718-7", "g/dL", 13.4, 1.6, -0.6, 1, 0.55, (4, 20), _ILL),
    Test("6690-2", "10*3/uL", 8.4, 2.6, 4.0, 1, 0.55, (0.5, 60), _ILL),
    Test("2160-0", "mg/dL", 0.95, 0.25, 0.4, 2, 0.50, (0.3, 12), _ILL),
    Test("2345-7", "mg/dL", 112, 26, 30, 0, 0.40, (40, 700), _ILL),
    Test("10839-9", "ng/mL", 0.012, 0.006, 0.004, 3, 0.85, (0.001, 50), _CHEST),
    Test("10839-9", "ng/mL", 2.4, 1.4, 0.5, 3, 1.0, (0.06, 50), ("heart_attack",)),
    Test("2524-7", "mmol/L", 1.6, 0.6, 1.6, 1, 0.7, (0.3, 20), _INFECTED),
    Test("2823-3", "mmol/L", 4.1, 0.4, 0.2, 1, 0.9, (2.2, 7.5), on_ward=True),
    Test("2951-2", "mmol/L", 139, 3, -2, 0, 0.9, (110, 165), on_ward=True),
    Test("8867-4", "/min", 82, 12, 10, 0, 0.9, (35, 200), on_ward=True),
)
_A1C = Test("4548-4", "%", 7.6, 1.3, 0.0, 1, 0.6, (5.2, 15), on_ward=True)


@dataclass(frozen=True)
class Dose:
    """One medication as it is usually given; the dose in thousandths of its unit."""

    code: str
    amount: int
    unit: str
    route: str
    share: float
    conditions: tuple[str, ...] = _ANY
    on_ward: bool = False


_BREATH = ("asthma", "copd", "bronchiolitis")
_BELLY = tuple(c.name for c in CONDITIONS if c.complaint in ("abdominal_pain", "vomiting"))
_PAIN = ("kidney_stone", "hip_fracture", "appendicitis", "pancreatitis", "wrist_fracture")
DOSES = (
    Dose("161", 650_000, "mg", "oral", 0.16),
    Dose("5640", 400_000, "mg", "oral", 0.30, ("ankle_sprain", "back_pain", "toothache", "fever")),
    Dose("7052", 4_000, "mg", "intravenous", 0.60, _PAIN),
    Dose("26225", 4_000, "mg", "intravenous", 0.40, _BELLY),
    Dose("1191", 325_000, "mg", "oral", 0.80, ("chest_pain", "heart_attack")),
    Dose("2193", 1_000, "g", "intravenous", 0.80, _INFECTED[:3]),
    Dose("435", 2_500, "mg", "inhaled", 0.85, _BREATH),
    Dose("8640", 40_000, "mg", "oral", 0.60, ("asthma", "copd", "allergy")),
    Dose("4603", 40_000, "mg", "intravenous", 0.80, ("heart_failure",)),
    Dose("723", 500_000, "mg", "oral", 0.40, ("sore_throat", "toothache")),
    Dose("5224", 5_000_000, "[iU]", "other", 0.55, on_ward=True),
    Dose("161", 1_000_000, "mg", "oral", 0.35, on_ward=True),
)
_METFORMIN = Dose("6809", 500_000, "mg", "oral", 0.7, on_ward=True)

# Code, where it is done, share of those with the condition, conditions.
_PROCEDURES = (
    ("0DTJ4ZZ", True, 0.92, ("appendicitis",)),
    ("4A023N7", True, 0.80, ("heart_attack",)),
    ("B2111ZZ", True, 0.75, ("heart_attack",)),
    ("027034Z", True, 0.60, ("heart_attack",)),
    ("BW28ZZZ", False, 0.55, ("concussion", "stroke", "brain_bleed", "subdural", "headache")),
    ("02HV33Z", False, 0.30, ("sepsis",)),
    ("0BH17EZ", False, 0.12, ("overdose", "sepsis", "brain_bleed")),
    ("5A1935Z", False, 0.12, ("overdose", "sepsis", "brain_bleed")),
    ("0W9G3ZZ", True, 0.15, ("pancreatitis",)),
)


@dataclass(frozen=True)
class _Acts:
    """Rows of one clinical table in the order of their instants.

    ``visit`` is a position in the visits, ``stay`` one in the stays (NOTHING in the ED), ``entry``
    one in the table's own list of what can be done.
    """

    visit: Ints
    stay: Ints
    at: Ints
    entry: Ints
    row: Ints


class _Wards:
    """Where clinical acts can happen: ED visits that were triaged, and inpatient stays."""

    def __init__(self, world: World) -> None:
        self.world = world
        share = 0.02 if world.plan.is_thin else 1.0
        visits, stays = world.visits, world.stays
        is_kept = world.draw.chance("has_clinical", visits.number, share)
        self.visits = np.flatnonzero((visits.triaged != NOTHING) & is_kept)
        self.stays = np.flatnonzero(is_kept[stays.visit])

    def acts(self, name: str, entries: list[_Entry]) -> _Acts:
        """Draw who has what done.

        Args:
            name: the table.
            entries: what may be done to whom.
        """
        parts = [self._entry(name, place, entry) for place, entry in enumerate(entries)]
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        visit, stay, at, entry, row = columns
        cut = feed_instants(self.world.plan)[self.world.visits.hospital[visit]]
        kept = np.flatnonzero(at < cut)
        kept = kept[np.lexsort((row[kept], at[kept]))]
        return _Acts(visit[kept], stay[kept], at[kept], entry[kept], row[kept])

    def _entry(
        self,
        name: str,
        place: int,
        entry: _Entry,
    ) -> tuple[Ints, Ints, Ints, Ints, Ints]:
        world, draw = self.world, self.world.draw
        share, conditions, on_ward, chronic = entry
        stay = self.stays if on_ward else np.full(len(self.visits), NOTHING)
        visit = world.stays.visit[self.stays] if on_ward else self.visits
        number = world.visits.number[visit]
        chosen = draw.chance(f"{name}/{place}", number, share) & self._concerns(visit, conditions)
        if chronic is not None:
            chosen &= world.chronic[world.visits.person[visit], chronic]
            chosen &= ~world.visits.is_unidentified[visit]
        visit, stay, number = visit[chosen], stay[chosen], number[chosen]
        wait = draw.uniform(f"{name}/{place}/at", number)
        if on_ward:
            begins = world.stays.admitted[stay]
            at = begins + HOUR + np.floor(wait * 6 * HOUR).astype(np.int64)
        else:
            begins = world.visits.triaged[visit]
            left = np.maximum(world.visits.effective[visit] - begins, 60)
            at = begins + np.floor(wait * 0.8 * left).astype(np.int64)
        row = number * 64 + place
        return visit, stay, at, np.full(len(visit), place), row

    def _concerns(self, visit: Ints, conditions: tuple[str, ...]) -> Bools:
        if not conditions:
            return np.ones(len(visit), np.bool_)
        flags = np.array([condition.name in conditions for condition in CONDITIONS])
        result: Bools = flags[self.world.condition[visit]]
        return result


def _chronic_number(name: str) -> int:
    return next(place for place, (other, _, _) in enumerate(CHRONIC) if other == name)


def _shared(world: World, acts: _Acts, part: slice, at_column: str) -> dict[str, pa.Array]:
    """Return the columns that every clinical table has."""
    visit, stay = acts.visit[part], acts.stay[part]
    hospital = world.visits.hospital[visit]
    on_ward = stay != NOTHING
    at = acts.at[part]
    corrected = world.draw.chance(f"{at_column}/corrected", acts.row[part], 0.01)
    deleted = world.draw.chance(f"{at_column}/deleted", acts.row[part], 0.001)
    return {
        "hospital_id": codes([h.code for h in world.plan.hospitals], hospital),
        "patient_id": keys(FIRST_PATIENT + world.registrations.of_visit[visit]),
        "ed_visit_id": keys(world.written.id_of_visit[visit], on_ward),
        "encounter_id": keys(world.stay_ids[np.where(on_ward, stay, 0)], ~on_ward),
        at_column: instants(at),
        **stamp_columns(
            at,
            at + np.where(corrected, 2 * DAY, 0),
            world.plan.snapshot_at,
            np.where(deleted, at + HOUR, NOTHING),
        ),
        ZONE_COLUMN: world.zone_of_hospital[hospital],
    }


def observations_chunks(world: World) -> Iterator[pa.Table]:
    """One row per vital sign or laboratory result."""
    tests = (*TESTS, _A1C)
    diabetic = _chronic_number("type_2_diabetes")
    acts = _Wards(world).acts(
        "observations",
        [(t.share, t.conditions, t.on_ward, diabetic if t is _A1C else None) for t in tests],
    )
    kind = TABLES["ehr"]["observations"].arrow.field("value").type
    for part in chunks(len(acts.at)):
        entry = acts.entry[part]
        yield pa.table(
            {
                "observation_id": keys(FIRST_OBSERVATION + np.arange(part.start, part.stop)),
                "observation_code": codes([test.code for test in tests], entry),
                "value": decimals(_results(world, acts, part, tests), kind),
                "unit_code": codes([test.unit for test in tests], entry),
                **_shared(world, acts, part, "observed_at"),
            }
        )


def _results(world: World, acts: _Acts, part: slice, tests: tuple[Test, ...]) -> Ints:
    """Return results in ten-thousandths, rounded as the test writes them."""
    entry = acts.entry[part]

    def of(name: str) -> Floats:
        return np.array([float(getattr(test, name)) for test in tests])[entry]

    severity = SEVERITY[world.condition[acts.visit[part]]]
    value = of("mean") + of("shift") * severity
    value += of("spread") * world.draw.normal("result", acts.row[part])
    limits = np.array([test.limits for test in tests])[entry]
    value = np.clip(value, limits[:, 0], limits[:, 1])
    places = np.array([test.decimals for test in tests])[entry]
    written: Ints = np.rint(value * 10.0**places).astype(np.int64) * 10 ** (4 - places)
    return written


def medications_chunks(world: World) -> Iterator[pa.Table]:
    """One row per administered medication."""
    doses = (*DOSES, _METFORMIN)
    diabetic = _chronic_number("type_2_diabetes")
    acts = _Wards(world).acts(
        "medications",
        [(d.share, d.conditions, d.on_ward, diabetic if d is _METFORMIN else None) for d in doses],
    )
    kind = TABLES["ehr"]["medications"].arrow.field("dose").type
    amounts = np.array([dose.amount for dose in doses])
    for part in chunks(len(acts.at)):
        entry = acts.entry[part]
        yield pa.table(
            {
                "medication_id": keys(FIRST_MEDICATION + np.arange(part.start, part.stop)),
                "medication_code": codes([dose.code for dose in doses], entry),
                "dose": decimals(amounts[entry], kind),
                "dose_unit_code": codes([dose.unit for dose in doses], entry),
                "route_code": codes([dose.route for dose in doses], entry),
                **_shared(world, acts, part, "administered_at"),
            }
        )


def procedures_chunks(world: World) -> Iterator[pa.Table]:
    """One row per performed procedure."""
    acts = _Wards(world).acts(
        "procedures",
        [(share, conditions, on_ward, None) for _, on_ward, share, conditions in _PROCEDURES],
    )
    for part in chunks(len(acts.at)):
        yield pa.table(
            {
                "procedure_id": keys(FIRST_PROCEDURE + np.arange(part.start, part.stop)),
                "procedure_code": codes([code for code, *_ in _PROCEDURES], acts.entry[part]),
                **_shared(world, acts, part, "performed_at"),
            }
        )
