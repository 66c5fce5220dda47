"""dbt unit tests of the model that judges measures, from the worked histories of all measures."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from ops.histories.measure_histories import Answer, MeasureHistory, measure_codes
from ops.histories.steps import Row
from ops.histories.unit_tests import UnitTest, seed_rows, together
from ops.histories.worked import SEEDS, read_rows


def measure_tests(histories: list[MeasureHistory]) -> list[UnitTest]:
    """Unit tests of fct_ed_measured_returns: every measure and index visit of the histories."""
    groups = _diagnosis_groups(histories)
    return together([_test(history, groups) for history in histories])


def _test(history: MeasureHistory, groups: list[Row]) -> UnitTest:
    given = {
        "fct_ed_returns": [_pair(history, answer) for answer in history.answers],
        "fct_ed_direct_admissions": [
            _admission(history, answer) for answer in history.answers if answer.admission
        ],
        "ed_return_measures": seed_rows("ed_return_measures"),
        "dim_diagnosis_groups": groups,
    }
    expect: list[Row] = [
        {
            "measure_code": code,
            "index_visit_key": answer.index_visit.key,
            "is_counted": code in answer.counted_in,
        }
        for answer in history.answers
        for code in measure_codes()
        if code not in answer.left_out_of
    ]
    return UnitTest(
        name=history.name,
        model="fct_ed_measured_returns",
        description=f"History {history.example}: {history.why}.",
        given=given,
        expect=expect,
        example=history.example,
    )


def _pair(history: MeasureHistory, answer: Answer) -> Row:
    """A row of fct_ed_returns, as far as measures look at it."""
    visit = answer.index_visit
    return {
        "index_visit_key": visit.key,
        "return_visit_key": answer.returned,
        "hospital_key": visit.hospital,
        "return_hospital_key": history.hospital_of(answer.returned),
        "index_diagnosis_code": _code(visit.diagnosis),
        "return_diagnosis_code": _code(answer.return_diagnosis),
        "return_outcome_code": answer.return_outcome,
        "return_age_years": answer.return_age,
        "elapsed_seconds": answer.elapsed_seconds,
        "follow_up_seconds": history.follow_up_seconds(visit),
        "is_return_admitted": answer.return_outcome == "admitted",
        "index_month_on": f"{_local(visit.arrived_at, visit.time_zone):%Y-%m-01}",
    }


def _admission(history: MeasureHistory, answer: Answer) -> Row:
    """A row of fct_ed_direct_admissions, as far as measures look at it."""
    return {
        "index_visit_key": answer.index_visit.key,
        "encounter_key": answer.admission,
        "hospital_key": answer.index_visit.hospital,
        "admission_hospital_key": history.hospital_of(answer.admission),
        "elapsed_seconds": answer.admitted_after_seconds,
    }


def _local(at: datetime, zone: str) -> datetime:
    return at.astimezone(ZoneInfo(zone))


def _code(diagnosis: str) -> str | None:
    """A diagnosis as the warehouse keeps it: without the dot."""
    return diagnosis.replace(".", "") or None


def _diagnosis_groups(histories: list[MeasureHistory]) -> list[Row]:
    """Rows of dim_diagnosis_groups for the codes that stand in the histories."""
    codes = {visit.diagnosis for history in histories for visit in history.visits}
    codes |= {stay.diagnosis for history in histories for stay in history.inpatient}
    known = sorted(code for code in map(_code, codes) if code)
    return [
        {
            "group_code": row["group_code"],
            "icd10_prefix": row["icd10_prefix"],
            "diagnosis_code": code,
            "maximum_age_years": row["maximum_age_years"] or None,
        }
        for row in read_rows(SEEDS / "ed_diagnosis_groups.csv")
        for code in known
        if code.startswith(row["icd10_prefix"])
    ]
