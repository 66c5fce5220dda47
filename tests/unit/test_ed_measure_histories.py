"""The worked histories of every measure against the oracle; and tables that cannot be right."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from ops.histories.measure_histories import MeasureHistory, load_measure_histories
from ops.histories.worked import HISTORIES, HistoryError
from tests.helpers.measures import shipped_measures
from tests.oracle.ed_direct_admissions import ADMISSION_SCHEMA, PAIRING, with_direct_admissions
from tests.oracle.ed_reattendances import PAIRING as REATTENDANCE
from tests.oracle.ed_reattendances import with_reattendances
from tests.oracle.ed_return_measures import flagged
from tests.oracle.ed_returns import (
    INPATIENT_SCHEMA,
    PERSON_SCHEMA,
    REGISTRATION_SCHEMA,
    Answer,
    answer,
)

WORKED = load_measure_histories()


def oracle_says(history: MeasureHistory) -> Answer:
    registrations = [
        {
            "visit_key": visit.key,
            "person_key": history.person,
            "hospital_key": visit.hospital,
            "time_zone": visit.time_zone,
            "arrived_at": visit.arrived_at,
            "departed_at": visit.departed_at,
            "disposition_at": None,
            "disposition_code": visit.disposition,
            "is_planned": visit.is_planned,
            "main_diagnosis_code": visit.diagnosis.replace(".", "") or None,
        }
        for visit in history.visits
    ]
    inpatient = [
        {
            "encounter_key": stay.key,
            "visit_key": stay.ed_visit,
            "admitted_at": stay.admitted_at,
            "main_diagnosis_code": stay.diagnosis.replace(".", "") or None,
        }
        for stay in history.inpatient
        if stay.ed_visit
    ]
    person = [(history.person, history.born_on, history.died_on)]
    return answer(
        pl.DataFrame(registrations, schema=REGISTRATION_SCHEMA),
        pl.DataFrame(person, schema=PERSON_SCHEMA, orient="row"),
        pl.DataFrame(inpatient, schema=INPATIENT_SCHEMA),
    )


def with_admissions(history: MeasureHistory, pairs: pl.DataFrame) -> pl.DataFrame:
    rows = [
        {
            "encounter_key": stay.key,
            "person_key": history.person,
            "hospital_key": stay.hospital,
            "time_zone": stay.time_zone,
            "visit_key": stay.ed_visit,
            "admission_type_code": stay.admission_type,
            "admitted_at": stay.admitted_at,
            "discharged_at": stay.discharged_at,
            "main_diagnosis_code": stay.diagnosis.replace(".", "") or None,
        }
        for stay in history.inpatient
    ]
    person = [(history.person, history.born_on, history.died_on)]
    return with_direct_admissions(
        pairs,
        pl.DataFrame(rows, schema=ADMISSION_SCHEMA),
        pl.DataFrame(person, schema=PERSON_SCHEMA, orient="row"),
    )


@pytest.mark.parametrize("history", WORKED, ids=lambda history: history.name)
def test_answers_are_what_the_oracle_says(history: MeasureHistory) -> None:
    pairs = oracle_says(history).pairs
    facts = {
        row["index_visit_key"]: (
            row["return_visit_key"],
            row["elapsed"],
            row["return_outcome_code"],
            row["return_diagnosis_code"],
            row["return_age_years"],
        )
        for row in pairs.iter_rows(named=True)
    }
    assert facts == {
        told.index_visit.key: (
            told.returned,
            None if told.elapsed_seconds is None else timedelta(seconds=told.elapsed_seconds),
            told.return_outcome,
            told.return_diagnosis.replace(".", "") or None,
            told.return_age,
        )
        for told in history.answers
    }
    directly = with_admissions(history, pairs)
    assert {
        row["index_visit_key"]: (row["encounter_key"], row["elapsed"])
        for row in directly.iter_rows(named=True)
    } == {
        told.index_visit.key: (
            told.admission,
            None
            if told.admitted_after_seconds is None
            else timedelta(seconds=told.admitted_after_seconds),
        )
        for told in history.answers
    }
    for measure in (one for one in shipped_measures() if one.pairing != REATTENDANCE):
        own_pairs = directly if measure.pairing == PAIRING else pairs
        judged = flagged(own_pairs, measure, history.data_through)
        counted = judged.filter("is_numerator")["index_visit_key"]
        left_out = judged.filter(~pl.col("is_index"))["index_visit_key"]
        assert set(counted) == {
            told.index_visit.key for told in history.answers if measure.code in told.counted_in
        }, measure.code
        assert set(left_out) == {
            told.index_visit.key for told in history.answers if measure.code in told.left_out_of
        }, measure.code


@pytest.mark.parametrize(
    "history",
    [history for history in WORKED if history.attendances],
    ids=lambda history: history.name,
)
def test_attendances_are_what_the_oracle_says(history: MeasureHistory) -> None:
    person = [(history.person, history.born_on, history.died_on)]
    pairs = with_reattendances(
        oracle_says(history), pl.DataFrame(person, schema=PERSON_SCHEMA, orient="row")
    )
    (measure,) = (one for one in shipped_measures() if one.pairing == REATTENDANCE)
    judged = flagged(pairs, measure, history.data_through)
    assert {
        row["index_visit_key"]: (
            row["return_visit_key"],
            row["elapsed"],
            row["return_outcome_code"],
            row["is_numerator"] if row["is_index"] else None,
        )
        for row in judged.iter_rows(named=True)
    } == {
        told.visit.key: (
            told.next_visit,
            None if told.elapsed_seconds is None else timedelta(seconds=told.elapsed_seconds),
            told.next_outcome,
            told.is_counted,
        )
        for told in history.attendances
    }


def test_every_measure_counts_somebody_and_refuses_somebody() -> None:
    """A measure without a history that it counts would be tested by its absence alone."""
    told = [answer for history in WORKED for answer in history.answers]
    for measure in (one for one in shipped_measures() if one.pairing != REATTENDANCE):
        followed_by = "admission" if measure.pairing == PAIRING else "returned"
        returned = [one for one in told if getattr(one, followed_by)]
        assert any(measure.code in one.counted_in for one in told), measure.code
        assert any(measure.code not in one.counted_in | one.left_out_of for one in returned), (
            measure.code
        )
        assert any(measure.code in one.left_out_of for one in told) or measure.window_hours <= 72


def test_names_are_unique() -> None:
    assert len({history.name for history in WORKED}) == len(WORKED) > 25


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("206a,206b,720:00:01,home,R07.9,44,,,,", "206a,206b,720:00:01,home,R07.9,44,,,9d_any,"),
        ("205b,,,,,,,,,30d_mental_health", "205b,,,,,,,,30d_any,30d_any"),
        ("206a,206b,", "206a,999b,"),
        ("206a,206b,", "999a,206b,"),
    ],
    ids=["unknown measure", "counted and left out", "unknown return", "unknown index visit"],
)
def test_answer_that_cannot_be_right_is_refused(tmp_path: Path, was: str, becomes: str) -> None:
    for path in HISTORIES.glob("ed_measure_histories*.csv"):
        text = path.read_text(encoding="utf-8")
        changed = text.replace(was, becomes, 1) if path.stem.endswith("answers") else text
        assert changed != text or not path.stem.endswith("answers")
        (tmp_path / path.name).write_text(changed, encoding="utf-8")
    with pytest.raises(HistoryError):
        load_measure_histories(tmp_path)
