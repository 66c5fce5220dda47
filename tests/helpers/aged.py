"""Records old and new, counted by hand, for a policy of 84 months on a day of November 2026.

Kept is what is of November 2019 and later. One visit lies half an hour before that month and one on
its first instant. What refers to an old visit or claim and names no registration goes with it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from governance.settings import RetentionSettings, TableRetention

NOW = datetime(2026, 11, 15, 12, tzinfo=UTC)
POLICY = RetentionSettings(
    tables={"ehr.ed_visits": TableRetention(84), "billing.claims": TableRetention(84)}
)
ANNA, BEN, MEMBER = 7101_0001, 7102_0001, 7201_0001
LATE, FIRST, NEW, BAD = 8101_0001, 8101_0002, 8102_0003, 8101_0004
OLD_CLAIM, FOLLOWING, UNDATED = 9101_0001, 9101_0002, 9101_0003
BEFORE, LIMIT = datetime(2019, 10, 31, 23, 30, tzinfo=UTC), datetime(2019, 11, 1, tzinfo=UTC)
RECENT = datetime(2024, 3, 5, 8, tzinfo=UTC)


def _visit(key: int, patient: int, at: datetime, **more: Any) -> dict[str, Any]:
    return {"visit_id": key, "hospital_id": "H1", "patient_id": patient, "arrived_at": at, **more}


def _diagnosis(key: int, visit: int, **more: Any) -> dict[str, Any]:
    # Recorded late: whether it stays is its visit's matter.
    row = {"diagnosis_id": key, "visit_id": visit, "recorded_at": RECENT, "diagnosis_code": "I214"}
    return row | more


CONTENT: dict[str, dict[str, list[dict[str, Any]]]] = {
    "ehr": {
        "hospitals": [{"hospital_id": "H1"}],
        "feeds": [{"hospital_id": "H1", "data_through_at": RECENT}],
        "patients": [{"patient_id": key, "hospital_id": "H1"} for key in (ANNA, BEN)],
        "ed_visits": [
            _visit(LATE, ANNA, BEFORE, complaint_code="an old complaint"),
            _visit(FIRST, ANNA, LIMIT),
            _visit(NEW, BEN, RECENT, complaint_code="a new complaint"),
            # The whole row goes to quarantine, and is old.
            _visit(BAD, ANNA, BEFORE, hospital_id="an old hospital"),
        ],
        "ed_visit_diagnoses": [
            _diagnosis(8301_0001, LATE),
            _diagnosis(8301_0002, FIRST),
            _diagnosis(8301_0003, NEW, sequence_number="a new number"),
            _diagnosis(8301_0004, BAD),
            _diagnosis(8301_0005, LATE, sequence_number="an old number"),
        ],
        "inpatient_encounters": [
            {
                "encounter_id": 8401_0001,
                "hospital_id": "H1",
                "patient_id": ANNA,
                "ed_visit_id": LATE,
                "admitted_at": RECENT,
            }
        ],
        "observations": [
            # Names her: a record of its own. The next names nobody but the visit.
            {
                "observation_id": 8601_0001,
                "patient_id": ANNA,
                "ed_visit_id": LATE,
                "observed_at": BEFORE,
            },
            {"observation_id": 8601_0002, "ed_visit_id": LATE, "observed_at": BEFORE},
        ],
    },
    "billing": {
        "payers": [{"payer_id": "P1", "payer_name": "Payer", "payer_type_code": "commercial"}],
        "members": [{"member_id": MEMBER, "last_name": "Member"}],
        "claims": [
            {
                "claim_id": OLD_CLAIM,
                "claim_number": "CL-1",
                "member_id": MEMBER,
                "received_on": date(2019, 3, 9),
            },
            # Received yesterday, but nobody's without the claim that it replaces.
            {
                "claim_id": FOLLOWING,
                "replaces_claim_id": OLD_CLAIM,
                "received_on": RECENT.date(),
                "billed_amount": "10.50",
            },
            {"claim_id": UNDATED, "claim_number": "CL-3", "member_id": MEMBER},
        ],
        "claim_lines": [
            {"claim_line_id": 9201_0001, "claim_id": OLD_CLAIM, "billed_amount": "4.25"},
            {"claim_line_id": 9201_0002, "claim_id": FOLLOWING, "billed_amount": "6.25"},
            {"claim_line_id": 9201_0003, "claim_id": UNDATED, "billed_amount": "1.00"},
        ],
        "remittances": [{"remittance_id": 9301_0001, "claim_line_id": 9201_0002}],
        "remittance_adjustments": [
            {"adjustment_id": 9401_0001, "remittance_id": 9301_0001, "amount": "2.00"}
        ],
    },
}
# By table: rows in the source, in the lake, in quarantine, expired.
COUNTS = {
    "ehr.patients": (2, 2, 0, 0),
    "ehr.ed_visits": (4, 2, 0, 2),
    "ehr.ed_visit_diagnoses": (5, 1, 1, 3),
    "ehr.inpatient_encounters": (1, 1, 0, 0),
    "ehr.observations": (2, 1, 0, 1),
    "billing.members": (1, 1, 0, 0),
    "billing.claims": (3, 1, 0, 2),
    "billing.claim_lines": (3, 1, 0, 2),
    "billing.remittances": (1, 0, 0, 1),
    "billing.remittance_adjustments": (1, 0, 0, 1),
}
# Raw keys and words of what goes; none of them may stand anywhere any more.
GONE = {
    *(str(key) for key in (LATE, BAD, OLD_CLAIM, FOLLOWING)),
    *(str(8301_0000 + number) for number in (1, 4, 5)),
    *(str(key) for key in (8601_0002, 9201_0001, 9201_0002, 9301_0001, 9401_0001)),
    *("an old complaint", "an old hospital", "an old number", "CL-1"),
}
