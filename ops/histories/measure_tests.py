"""dbt unit tests of what measures are judged by, from the worked histories of all measures."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from ops.histories.measure_histories import Answer, Attendance, MeasureHistory, measure_codes
from ops.histories.steps import Row
from ops.histories.unit_tests import UnitTest, seed_rows, together
from ops.histories.worked import SEEDS, read_rows


def measure_tests(histories: list[MeasureHistory]) -> list[UnitTest]:
    """Every measure and index visit of the histories; and the way to direct admissions."""
    groups = _diagnosis_groups(histories)
    past_the_ed = [history for history in histories if history.inpatient]
    return together(
        [
            *(_judged_test(history, groups) for history in histories),
            *(_direct_test(history) for history in past_the_ed),
            *(_followed_test(history) for history in past_the_ed if _is_one_leg(history)),
        ]
    )


def _judged_test(history: MeasureHistory, groups: list[Row]) -> UnitTest:
    given = {
        "int_ed_index_visits__paired": [
            *(_pair(history, answer) for answer in history.answers),
            *(_admission(history, answer) for answer in history.answers),
            *(_attendance(history, attendance) for attendance in history.attendances),
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
    expect += [
        {
            "measure_code": code,
            "index_visit_key": attendance.visit.key,
            "is_counted": attendance.is_counted,
        }
        for attendance in history.attendances
        for code in measure_codes(of_attendances=True)
        if attendance.is_counted is not None
    ]
    return _test(history, "fct_ed_measured_returns", given, expect)


def _direct_test(history: MeasureHistory) -> UnitTest:
    """Which inpatient encounters are direct admissions."""
    encounters: list[Row] = [
        {
            "encounter_key": stay.key,
            "hospital_key": stay.hospital,
            "registration_key": history.person,
            "ed_visit_key": stay.ed_visit,
            "admission_type_code": stay.admission_type,
            "admitted_at": stay.admitted_at,
            "discharged_at": stay.discharged_at,
        }
        for stay in history.inpatient
    ]
    given: dict[str, list[Row]] = {
        "ed_return_measures": seed_rows("ed_return_measures"),
        "stg_ehr__inpatient_encounters": encounters,
        "int_registrations__persons": [
            {"registration_key": history.person, "person_key": history.person}
        ],
        "ed_admission_type_rules": seed_rows("ed_admission_type_rules"),
    }
    expect: list[Row] = [
        {"encounter_key": stay.key, "person_key": history.person, "admitted_at": stay.admitted_at}
        for stay in history.inpatient
        if stay.is_direct
    ]
    return _test(history, "int_inpatient_encounters__direct", given, expect)


def _is_one_leg(history: MeasureHistory) -> bool:
    """Every registration is a stay of its own: the steps of transfers are told elsewhere."""
    return all(visit.disposition != "transferred" for visit in history.visits)


def _followed_test(history: MeasureHistory) -> UnitTest:
    """Which index stay a direct admission follows."""
    index = {answer.index_visit.key for answer in history.answers}
    stays: list[Row] = [
        {
            "stay_key": visit.key,
            "person_key": history.person,
            "index_visit_key": visit.key,
            "is_index": visit.key in index,
            "is_return_candidate": not visit.is_planned and visit.disposition != "lwbs",
            "started_at": visit.arrived_at,
            "index_arrived_at": visit.arrived_at,
            "index_departed_at": visit.departed_at,
        }
        for visit in history.visits
    ]
    admissions: list[Row] = [
        {"encounter_key": stay.key, "person_key": history.person, "admitted_at": stay.admitted_at}
        for stay in history.inpatient
        if stay.is_direct
    ]
    given = {
        "int_inpatient_encounters__direct": admissions,
        "int_ed_stays__outcomes": stays,
    }
    expect: list[Row] = [
        {"stay_key": answer.index_visit.key, "encounter_key": answer.admission}
        for answer in history.answers
        if answer.admission
    ]
    return _test(history, "int_ed_stays__direct_admissions", given, expect)


def _test(
    history: MeasureHistory, model: str, given: dict[str, list[Row]], expect: list[Row]
) -> UnitTest:
    told = f"History {history.example}: {history.why}."
    return UnitTest(history.name, model, told, given, expect, history.example)


def _pair(history: MeasureHistory, answer: Answer) -> Row:
    """An index visit and its return, as far as measures look at them."""
    visit = answer.index_visit
    return {
        "pairing_code": "after_discharge_home",
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
    """An index visit and its direct admission, as far as measures look at them."""
    return _pair(history, answer) | {
        "pairing_code": "direct_admission",
        "return_visit_key": None,
        "return_hospital_key": history.hospital_of(answer.admission),
        "return_diagnosis_code": None,
        "return_outcome_code": "admitted" if answer.admission else None,
        "return_age_years": None,
        "elapsed_seconds": answer.admitted_after_seconds,
        "is_return_admitted": answer.admission is not None,
    }


def _attendance(history: MeasureHistory, attendance: Attendance) -> Row:
    """An attendance and the next one, as far as measures look at them."""
    visit = attendance.visit
    return {
        "pairing_code": "after_attendance",
        "index_visit_key": visit.key,
        "return_visit_key": attendance.next_visit,
        "hospital_key": visit.hospital,
        "return_hospital_key": visit.hospital,
        "return_outcome_code": attendance.next_outcome,
        "elapsed_seconds": attendance.elapsed_seconds,
        "follow_up_seconds": None
        if visit.disposition == "died"
        else history.follow_up_seconds(visit),
        "index_month_on": f"{_local(visit.arrived_at, visit.time_zone):%Y-%m-01}",
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
