"""Every measure over any history at all: the models' own SQL against the oracle.

And what must hold of measures by itself, such as that a wider window loses no return.

The histories have ties, overlaps, transfer chains, clocks that change, and registrations of one
person under two names. The measures are those that are shipped and some that nobody has thought of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.settings import Settings
from tests.helpers.compiled import CompiledModels
from tests.helpers.measures import diagnosis_groups, shipped_measures
from tests.helpers.random_histories import ZONES, Told, told_history
from tests.oracle.ed_direct_admissions import ADMISSION_SCHEMA, PAIRING, with_direct_admissions
from tests.oracle.ed_reattendances import PAIRING as REATTENDANCE
from tests.oracle.ed_reattendances import with_reattendances
from tests.oracle.ed_return_measures import Measure, flagged
from tests.oracle.ed_returns import (
    INPATIENT_SCHEMA,
    PERSON_SCHEMA,
    REGISTRATION_SCHEMA,
    answer,
)

pytestmark = pytest.mark.integration

MEASURES = "seeds.ed_return_measures"
GROUPS = diagnosis_groups()
SHIPPED = shipped_measures()
# What no shipped measure asks for: a least age, an age limit of index diagnoses, and what follows.
NOT_SHIPPED = [
    Measure("adults", 720, requires_admission=False, minimum_age_years=18),
    Measure("after_sepsis", 720, requires_admission=False, index_group=GROUPS["sentinel"]),
    Measure("not_for_heart", 720, requires_admission=False, return_exclusion=GROUPS["sentinel"]),
    Measure("not_after_heart", 720, requires_admission=False, index_exclusion=GROUPS["sentinel"]),
    Measure("at_once", 720, requires_admission=False, requires_complete_follow_up=False),
    Measure("still_open", 720, requires_admission=False, requires_known_outcome=False),
]
# Measure, index visit, counted: an index visit that is not in the denominator has no row.
Judged = set[tuple[str, str, bool]]


@pytest.fixture(scope="module")
def models(demo_settings: Settings) -> CompiledModels:
    return CompiledModels(demo_settings, ["fct_ed_measured_returns"], kept=["dim_diagnosis_groups"])


def fill(models: CompiledModels, told: Told, persons: dict[str, str]) -> None:
    """The history as staging rows.

    Args:
        models: what is filled.
        told: the history.
        persons: who each name really is; registrations of a name at two hospitals are two.
    """
    places = sorted({(row.person, row.hospital) for row in told.rows if row.person})
    visits = [
        {
            "ed_visit_key": row.key,
            "hospital_key": row.hospital,
            "registration_key": f"{row.person}@{row.hospital}",
            "disposition_code": row.disposition,
            "is_planned": row.planned,
            "arrived_at": naive(row.arrived),
            "disposition_at": naive(row.decided),
            "departed_at": naive(row.departed),
        }
        for row in told.rows
    ]
    diagnoses = [
        {"diagnosis_key": key, "ed_visit_key": key, "sequence_number": 1, "diagnosis_code": code}
        for key, code in told.diagnoses.items()
    ]
    stays = [
        {
            "encounter_key": stay.key,
            "hospital_key": stay.hospital,
            "registration_key": f"{stay.person}@{stay.hospital}",
            "ed_visit_key": stay.visit_key,
            "admission_type_code": stay.kind,
            "admitted_at": naive(stay.admitted),
            "discharged_at": naive(stay.discharged),
        }
        for stay in told.stays
    ]
    discharges = [
        {
            "diagnosis_key": stay.key,
            "encounter_key": stay.key,
            "sequence_number": 1,
            "diagnosis_code": stay.diagnosis,
        }
        for stay in told.stays
        if stay.diagnosis
    ]
    patients = [
        {
            "registration_key": f"{name}@{hospital}",
            "birth_on": told.born_on,
            "deceased_on": told.died_on,
        }
        for name, hospital in places
    ]
    person_map = [
        {"registration_key": f"{name}@{hospital}", "person_key": persons[str(name)]}
        for name, hospital in places
    ]
    models.fill(
        {
            name: pl.DataFrame(rows, infer_schema_length=None)
            for name, rows in {
                "stg_ehr__ed_visits": visits,
                "stg_ehr__ed_visit_diagnoses": diagnoses,
                "stg_ehr__inpatient_encounters": stays,
                "stg_ehr__inpatient_diagnoses": discharges,
                "stg_ehr__patients": patients,
                "stg_identity__person_map": person_map,
                "stg_ehr__hospitals": [
                    {"hospital_key": name, "time_zone": zone} for name, zone in ZONES.items()
                ],
                "stg_ehr__feeds": [{"data_through_at": naive(told.through)}],
                "stg_quality__snapshots": [{"snapshot_id": "s"}],
            }.items()
            if rows
        }
    )


def naive(at: datetime | None) -> datetime | None:
    """An instant as staging has it: UTC without a zone."""
    return at and at.replace(tzinfo=None)


def oracle_says(told: Told, persons: dict[str, str], measures: Sequence[Measure]) -> Judged:
    registrations = [
        {
            "visit_key": row.key,
            "person_key": row.person and persons[row.person],
            "hospital_key": row.hospital,
            "time_zone": row.zone,
            "arrived_at": row.arrived,
            "departed_at": row.departed,
            "disposition_at": row.decided,
            "disposition_code": row.disposition,
            "is_planned": row.planned,
            "main_diagnosis_code": told.diagnoses.get(row.key),
        }
        for row in told.rows
    ]
    people = [(name, told.born_on, told.died_on) for name in sorted(set(persons.values()))]
    persons_frame = pl.DataFrame(people, schema=PERSON_SCHEMA, orient="row")
    stays = [
        (stay.key, stay.visit_key, stay.admitted, stay.diagnosis)
        for stay in told.stays
        if stay.visit_key
    ]
    admissions = [
        {
            "encounter_key": stay.key,
            "person_key": stay.person and persons[stay.person],
            "hospital_key": stay.hospital,
            "time_zone": ZONES[stay.hospital],
            "visit_key": stay.visit_key,
            "admission_type_code": stay.kind,
            "admitted_at": stay.admitted,
            "discharged_at": stay.discharged,
            "main_diagnosis_code": stay.diagnosis,
        }
        for stay in told.stays
    ]
    result = answer(
        pl.DataFrame(registrations, schema=REGISTRATION_SCHEMA),
        persons_frame,
        pl.DataFrame(stays, schema=INPATIENT_SCHEMA, orient="row"),
    )
    pairs = result.pairs
    directly = with_direct_admissions(
        pairs, pl.DataFrame(admissions, schema=ADMISSION_SCHEMA), persons_frame
    )
    paired = {PAIRING: directly, REATTENDANCE: with_reattendances(result, persons_frame)}
    return {
        (measure.code, key, counted)
        for measure in measures
        for key, counted in flagged(paired.get(measure.pairing, pairs), measure, told.through)
        .filter("is_index")
        .select("index_visit_key", "is_numerator")
        .iter_rows()
    }


def models_say(models: CompiledModels) -> Judged:
    rows = models.ask(
        "select measure_code, index_visit_key, is_counted from core.fct_ed_measured_returns"
    )
    judged = set(rows)
    assert len(judged) == len(rows)
    return judged


@st.composite
def measure(draw: st.DrawFn, code: str) -> Measure:
    """A measure that somebody might add to the seed."""
    optional = st.sampled_from([None, None, *sorted(GROUPS)])
    return_group, index_group = draw(optional), draw(optional)
    return_exclusion, index_exclusion = draw(optional), draw(optional)
    return Measure(
        code=code,
        window_hours=draw(st.sampled_from([24, 72, 168, 720])),
        requires_admission=draw(st.booleans()),
        return_group=GROUPS.get(return_group) if return_group else None,
        index_group=GROUPS.get(index_group) if index_group else None,
        return_exclusion=GROUPS.get(return_exclusion or "", ()),
        index_exclusion=GROUPS.get(index_exclusion or "", ()),
        minimum_age_years=draw(st.sampled_from([None, None, 18])),
        maximum_age_years=draw(st.sampled_from([None, None, 17])),
        return_outcome=draw(st.sampled_from([None, None, "home", "died"])),
        requires_same_hospital=draw(st.booleans()),
        requires_complete_follow_up=draw(st.booleans()),
        requires_known_outcome=draw(st.booleans()),
        pairing=draw(st.sampled_from(["after_discharge_home", PAIRING, REATTENDANCE])),
    )


def ask_for(models: CompiledModels, measures: Sequence[Measure]) -> None:
    """Make these measures the rows of the seed."""
    named = {group: name for name, group in GROUPS.items()}
    models.run(f"delete from {MEASURES}")
    rows = [
        {
            "measure_code": one.code,
            "pairing_code": one.pairing,
            "window_hours": one.window_hours,
            "requires_admission": one.requires_admission,
            "return_outcome_code": one.return_outcome,
            "return_diagnosis_group_code": named[one.return_group] if one.return_group else None,
            "index_diagnosis_group_code": named[one.index_group] if one.index_group else None,
            "return_exclusion_group_code": named.get(one.return_exclusion),
            "index_exclusion_group_code": named.get(one.index_exclusion),
            "minimum_age_years": one.minimum_age_years,
            "maximum_age_years": one.maximum_age_years,
            "requires_same_hospital": one.requires_same_hospital,
            "requires_complete_follow_up": one.requires_complete_follow_up,
            "requires_known_outcome": one.requires_known_outcome,
            "is_headline": one.code == SHIPPED[0].code,
        }
        for one in measures
    ]
    models.add(MEASURES, pl.DataFrame(rows, infer_schema_length=None))


A_FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@A_FEW
@given(told=told_history(), own=st.tuples(measure("own_1"), measure("own_2")))
def test_models_agree_with_the_oracle(
    models: CompiledModels, told: Told, own: tuple[Measure, ...]
) -> None:
    """Two people as two, and after a merge as one: facts stay, only the map is another."""
    measures = [*SHIPPED, *NOT_SHIPPED, *own]
    ask_for(models, measures)
    apart = {"p": "p", "q": "q"}
    fill(models, told, apart)
    assert models_say(models) == oracle_says(told, apart, measures)
    merged = {"p": "p", "q": "p"}
    models.run("update staging.stg_identity__person_map set person_key = 'p'")
    assert models_say(models) == oracle_says(told, merged, measures)


@settings(A_FEW, max_examples=12)
@given(told=told_history())
def test_what_holds_of_measures_whatever_happened(models: CompiledModels, told: Told) -> None:
    wider = [
        replace(one, code=f"wider {one.code}", window_hours=2 * one.window_hours) for one in SHIPPED
    ]
    any_7d = Measure("any_7d", 168, requires_admission=False)
    ask_for(models, [*SHIPPED, *wider, any_7d])
    fill(models, told, {"p": "p", "q": "q"})
    denominator: dict[str, set[str]] = {one.code: set() for one in [*SHIPPED, *wider, any_7d]}
    counted: dict[str, set[str]] = {code: set() for code in denominator}
    for code, visit, is_counted in models_say(models):
        denominator[code].add(visit)
        if is_counted:
            counted[code].add(visit)

    # A wider window loses no return: those it does not count are not followed so long.
    for one in SHIPPED:
        assert denominator[f"wider {one.code}"] <= denominator[one.code]
        followed = counted[one.code] & denominator[f"wider {one.code}"]
        assert followed <= counted[f"wider {one.code}"], one.code

    def of(name: str) -> set[str]:
        return counted[f"ed_return_{name}"]

    outcomes = ("72h_admitted", "72h_observation", "72h_died")
    for part in (*outcomes, "72h_same_ed"):
        assert of(part) <= of("72h_any")
    assert sum(len(of(part)) for part in outcomes) == len(set().union(*map(of, outcomes)))
    assert of("7d_same_ed") <= counted["any_7d"]
    groups = [of("7d_ami"), of("7d_sah"), of("7d_paediatric_sepsis")]
    assert set().union(*groups) == of("7d_sentinel")
    assert of("7d_sentinel") <= counted["any_7d"]
    assert of("30d_mental_health") <= of("30d_any")


def test_the_histories_drawn_reach_every_measure() -> None:
    """Of each shipped measure some history counts an index visit, and some leave one out."""
    met = {one.code: 0 for one in SHIPPED}

    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @given(told_history())
    def look(told: Told) -> None:
        for code, _, is_counted in oracle_says(told, {"p": "p", "q": "q"}, SHIPPED):
            met[code] += is_counted

    look()
    assert all(met.values()), met
