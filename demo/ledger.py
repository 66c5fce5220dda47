"""The truth that was planted, written beside the databases: what every count must come to.

Read from the templates and the plan, not counted from the written rows: two rules of who is the
same person stand beside each other. ``deterministic`` joins registrations by health number and
birth date as typed; ``truth`` knows every person.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from demo.assign import codes_of_group
from demo.columns import NOTHING, codes, instants, keys
from demo.conditions import ALL_CODES, COMPLAINT_OF, COMPLAINTS
from demo.draw import Bools, Ints
from demo.ed import HOURS, positions_of
from demo.episodes import row_numbers
from demo.identity import has_moved
from demo.inpatient import EMERGENCY
from demo.kin import KINSHIP, TWIN
from demo.people import DEFECTS, NAME_FAULTS
from demo.templates import DISPOSITION_CODES, STEPS_MAX, TEMPLATES, Disposition
from demo.world import FIRST_PATIENT, World
from demo.zones import DAY, local_days, month_starts, offsets_in

RULES = ("deterministic", "truth")
_ADULT_YEARS = 18


@dataclass(frozen=True)
class Measure:
    """One measure of ED returns; prefixes are ICD-10-CM without the dot."""

    code: str
    window_hours: int
    requires_admission: bool = True
    prefixes: tuple[str, ...] = ()
    is_paediatric: bool = False


_AMI, _SAH, _SEPSIS = ("I21", "I22"), ("I60",), ("A40", "A41")
MEASURES = (
    Measure("ed_return_72h_admitted", 72),
    Measure("ed_return_72h_any", 72, requires_admission=False),
    Measure("ed_return_7d_ami", 168, prefixes=_AMI),
    Measure("ed_return_7d_sah", 168, prefixes=_SAH),
    Measure("ed_return_7d_paediatric_sepsis", 168, prefixes=_SEPSIS, is_paediatric=True),
)
SENTINEL = "ed_return_7d_sentinel"
_SENTINEL_PARTS = MEASURES[2:]


def _step_flags() -> tuple[Ints, Bools, Bools]:
    """Return, per template and step: the leg's first step, whether it ends its leg, its stay."""
    shape = (len(TEMPLATES), STEPS_MAX)
    first = np.zeros(shape, dtype=np.int64)
    ends_leg, ends_stay = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    for number, template in enumerate(TEMPLATES):
        for index, step in enumerate(template.steps):
            legs = [i for i, other in enumerate(template.steps) if other.leg == step.leg]
            stay = [i for i, other in enumerate(template.steps) if other.stay == step.stay]
            first[number, index] = legs[0]
            ends_leg[number, index] = index == legs[-1]
            ends_stay[number, index] = index == stay[-1]
    return first, ends_leg, ends_stay


class Ledger:
    """Expected counts of one planned network."""

    def __init__(self, world: World) -> None:
        self.world = world

    @cached_property
    def legs(self) -> Ints:
        """Position of the registration that ends each leg."""
        visits = self.world.visits
        _, ends_leg, _ = _step_flags()
        return np.flatnonzero(ends_leg[visits.template, visits.step])

    @cached_property
    def leg_starts(self) -> Ints:
        """Position of the registration that starts each leg."""
        visits = self.world.visits
        first, _, _ = _step_flags()
        step = first[visits.template, visits.step][self.legs]
        starts: Ints = positions_of(visits)[visits.episode[self.legs] * STEPS_MAX + step]
        return starts

    @cached_property
    def is_index(self) -> Bools:
        """Whether each visit's registration is the one that makes an index visit."""
        visits = self.world.visits
        _, _, ends_stay = _step_flags()
        is_known = (visits.departed != NOTHING) | (visits.decided != NOTHING)
        is_last: Bools = ends_stay[visits.template, visits.step]
        is_home = visits.disposition == int(Disposition.HOME)
        result: Bools = is_last & is_home & is_known
        return result & ~visits.is_planned & ~visits.is_unidentified

    @cached_property
    def return_main(self) -> Ints:
        """Main diagnosis of each pair's return, a position in ALL_CODES; NOTHING for none."""
        world = self.world
        of_ward = np.full(len(world.visits), NOTHING, dtype=np.int64)
        through_ed = world.stays.kind == EMERGENCY
        of_ward[world.stays.visit[through_ed]] = world.main.of_stay[through_ed]
        result = of_ward[world.pairs.last]
        for rows in (world.pairs.last, world.pairs.first):
            result = np.where(result == NOTHING, world.main.of_visit[rows], result)
        return result

    @cached_property
    def elapsed(self) -> Ints:
        """Seconds from each pair's departure to its return."""
        visits, pairs = self.world.visits, self.world.pairs
        return visits.arrived[pairs.first] - visits.effective[pairs.index]

    @cached_property
    def is_found(self) -> Bools:
        """Whether health number and birth date join index and return of each pair."""
        registrations, pairs = self.world.registrations, self.world.pairs
        label = registrations.label[registrations.of_visit]
        found: Bools = label[pairs.index] == label[pairs.first]
        return found

    def is_complete(self, rows: Ints, window_hours: int) -> Bools:
        """Return whether follow-up of the legs that end with these rows is complete."""
        visits, through = self.world.visits, self.world.plan.data_through_at
        died = np.where(visits.is_unidentified, NOTHING, self.world.died[visits.person])[rows]
        is_past = visits.effective[rows] + window_hours * HOURS <= through
        died_here = visits.disposition[rows] == int(Disposition.DIED)
        has_died = (died != NOTHING) & ((died + 1) * DAY <= through)
        result: Bools = has_died | is_past | died_here
        return result

    def return_years(self) -> Ints:
        """Return the person's completed years at each pair's return, by the birth date typed."""
        world = self.world
        rows = world.pairs.first
        zone = world.zone_of_hospital[world.visits.hospital[rows]]
        day = local_days(world.plan.zones, zone, world.visits.arrived[rows])
        born = world.registrations.born[world.registrations.of_visit[rows]]
        years, month_days = _year_and_day(day)
        born_years, born_days = _year_and_day(born)
        return years - born_years - (month_days < born_days)

    def pair_flags(self, measure: Measure, rule: str) -> tuple[Bools, Bools]:
        """Return, per pair: in the numerator; and kept out of the index visits as unknown."""
        visits, pairs = self.world.visits, self.world.pairs
        is_joined = self.is_found if rule == "deterministic" else np.ones(len(pairs), np.bool_)
        counts = (
            self.is_index[pairs.index]
            & self.is_complete(pairs.index, measure.window_hours)
            & (self.elapsed <= measure.window_hours * HOURS)
            & is_joined
        )
        outcome = visits.disposition[pairs.last]
        is_unknown = counts & (outcome == int(Disposition.OPEN))
        hits = counts & ~is_unknown
        if measure.requires_admission:
            hits &= outcome == int(Disposition.ADMITTED)
        if measure.prefixes:
            hits &= codes_of_group(measure.prefixes)[self.return_main]
        if measure.is_paediatric:
            hits &= self.return_years() < _ADULT_YEARS
        return hits, is_unknown

    def monthly(self) -> pa.Table:
        """Return expected counts per rule, hospital, month and measure."""
        rows = [
            self._monthly(measure.code, measure.window_hours, (measure,), rule)
            for rule in RULES
            for measure in MEASURES
        ]
        rows += [self._monthly(SENTINEL, 168, _SENTINEL_PARTS, rule) for rule in RULES]
        return pa.concat_tables(rows)

    def _monthly(
        self, code: str, window_hours: int, parts: tuple[Measure, ...], rule: str
    ) -> pa.Table:
        world, visits = self.world, self.world.visits
        flags = [self.pair_flags(part, rule) for part in parts]
        hit = np.zeros(len(visits), np.bool_)
        hit[world.pairs.index[np.logical_or.reduce([hits for hits, _ in flags])]] = True
        unknown = np.zeros(len(visits), np.bool_)
        unknown[world.pairs.index[flags[0][1]]] = True
        ends = self.legs
        is_complete = self.is_complete(ends, window_hours)
        zone = world.zone_of_hospital[visits.hospital[ends]]
        month = month_starts(local_days(world.plan.zones, zone, visits.arrived[self.leg_starts]))
        months, month_place = np.unique(month, return_inverse=True)
        cell = visits.hospital[ends] * len(months) + month_place
        size = len(world.plan.hospitals) * len(months)
        is_index = is_complete & self.is_index[ends] & ~unknown[ends]
        hospital = np.repeat(np.arange(len(world.plan.hospitals)), len(months))
        return pa.table(
            {
                "rule": pa.array([rule] * size),
                "measure_code": pa.array([code] * size),
                "hospital_id": codes([h.code for h in world.plan.hospitals], hospital).cast(
                    pa.string()
                ),
                "month_on": pa.array(
                    np.tile(months, len(world.plan.hospitals)).astype(np.int32)
                ).cast(pa.date32()),
                "numerator_count": tally(cell, hit[ends], size),
                "index_visits_count": tally(cell, is_index, size),
                "all_visits_count": tally(cell, is_complete, size),
            }
        )

    def totals(self, monthly: pa.Table) -> pa.Table:
        """Return the network's totals per rule and measure."""
        names = ["numerator_count", "index_visits_count", "all_visits_count"]
        total = monthly.group_by(["rule", "measure_code"]).aggregate([(n, "sum") for n in names])
        return total.rename_columns(["rule", "measure_code", *names])

    def pairs(self) -> pa.Table:
        """Return the planted index visits with their returns."""
        world, visits, pairs = self.world, self.world.visits, self.world.pairs
        kept = self.is_index[pairs.index]
        ids = world.written.id_of_visit
        return pa.table(
            {
                "index_visit_id": keys(ids[pairs.index]),
                "return_visit_id": keys(ids[pairs.first]),
                "template": codes([t.name for t in TEMPLATES], visits.template[pairs.index]),
                "elapsed_seconds": pa.array(self.elapsed),
                "return_outcome_code": codes(DISPOSITION_CODES, visits.disposition[pairs.last]),
                "return_diagnosis_code": codes(ALL_CODES, self.return_main),
                "index_complaint_code": codes(
                    COMPLAINTS, COMPLAINT_OF[world.condition[pairs.index]]
                ),
                "needs_fuzzy_matching": pa.array(~self.is_found),
            }
        ).filter(pa.array(kept))

    def registrations(self) -> pa.Table:
        """Return the true person behind every patient registration."""
        rows, kin = self.world.registrations, self.world.people.kin
        kinship = np.where(kin.is_twin, TWIN, kin.kinship)[rows.person]
        return pa.table(
            {
                "patient_id": keys(FIRST_PATIENT + np.arange(len(rows))),
                "person_number": keys(rows.person, rows.is_unidentified),
                "deterministic_person_number": keys(rows.label, rows.is_unidentified),
                "link_defect": codes(DEFECTS, rows.defect),
                "name_fault": codes(NAME_FAULTS, rows.name_fault),
                "kinship": codes(KINSHIP, kinship),
                "has_moved": pa.array(has_moved(self.world, rows.person, rows.first_seen)),
            }
        )

    def visits(self) -> pa.Table:
        """Return the role of every ED registration."""
        world, visits = self.world, self.world.visits
        first, _, _ = _step_flags()
        leg_row = positions_of(visits)[
            row_numbers(visits.episode, 0) + first[visits.template, visits.step]
        ]
        return pa.table(
            {
                "visit_id": keys(world.written.id_of_visit),
                "leg_visit_id": keys(world.written.id_of_visit[leg_row]),
                "person_number": keys(visits.person, visits.is_unidentified),
                "episode_number": keys(visits.episode),
                "template": codes([t.name for t in TEMPLATES], visits.template),
                "step_number": pa.array(visits.step.astype(np.int32)),
                "is_index": pa.array(self.is_index),
                "effective_departure_at": instants(visits.effective),
            }
        ).sort_by("visit_id")

    def warts(self) -> pa.Table:
        """Return how many of each irregularity were planted."""
        world, visits = self.world, self.world.visits
        zone = world.zone_of_hospital[visits.hospital]
        zones = world.plan.zones
        first_day = visits.arrived + offsets_in(zones, zone, visits.arrived)
        last_day = visits.effective + offsets_in(zones, zone, visits.effective)
        changed = (last_day - first_day) != (visits.effective - visits.arrived)
        no_departure = (visits.departed == NOTHING) & (visits.decided != NOTHING)
        is_open = visits.disposition == int(Disposition.OPEN)
        counts = {
            "open_visits": is_open,
            "departures_imputed": no_departure,
            "clock_change_visits": changed,
            "unidentified_visits": visits.is_unidentified,
            "planned_visits": visits.is_planned,
            **{
                f"{code}_visits": visits.disposition == place
                for place, code in enumerate(DISPOSITION_CODES[:-1])
            },
        }
        rows = {name: int(np.count_nonzero(flag)) for name, flag in counts.items()}
        rows["deleted_copies"] = int(np.count_nonzero(world.written.shift))
        rows["double_registrations"] = len(visits) - len(self.legs)
        for template in TEMPLATES:
            episodes = visits.episode[visits.template == TEMPLATES.index(template)]
            rows[f"episodes/{template.name}"] = len(np.unique(episodes))
        for defect, name in enumerate(DEFECTS[1:], start=1):
            rows[f"registrations/{name}"] = int((world.registrations.defect == defect).sum())
        for fault, name in enumerate(NAME_FAULTS[1:], start=1):
            rows[f"registrations/{name}"] = int((world.registrations.name_fault == fault).sum())
        return pa.table({"wart": list(rows), "rows_count": list(rows.values())})


def tally(cell: Ints, flag: Bools, size: int) -> pa.Array:
    """Count the flagged rows of every cell."""
    return pa.array(np.bincount(cell[flag], minlength=size).astype(np.int64))


def _year_and_day(day: Ints) -> tuple[Ints, Ints]:
    """Return the year, and 100 x month + day of the month."""
    dates = day.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    years = dates.astype("datetime64[Y]").astype(np.int64) + 1970
    of_month = (dates - months.astype("datetime64[D]")).astype(np.int64) + 1
    return years, (months.astype(np.int64) % 12 + 1) * 100 + of_month


def write_ledger(world: World, folder: Path, extra: dict[str, pa.Table]) -> dict[str, Path]:
    """Write the ledger's tables as Parquet files.

    Args:
        world: the planned network.
        folder: where the files go.
        extra: further tables by name.
    """
    ledger = Ledger(world)
    monthly = ledger.monthly()
    tables = {
        "expected_monthly": monthly,
        "expected_totals": ledger.totals(monthly),
        "pairs": ledger.pairs(),
        "registrations": ledger.registrations(),
        "visits": ledger.visits(),
        "warts": ledger.warts(),
        **extra,
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        building = path.with_name(path.name + ".building")
        pq.write_table(table, building, compression="zstd")
        building.replace(path)
        written[name] = path
    return written
