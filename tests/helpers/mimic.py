"""Real ED registrations (MIMIC-IV-ED demo 2.2, ODbL) as operational rows of one hospital.

The data are not part of this repository: they are looked for in the folder named by
``SCUTARI_SHARED_DATA``, else in ``shared/data`` beside the repository, and tests skip where neither
holds them.

Every patient's dates are shifted by an amount of their own, into a future century: the clock is
fictional, so the hospital's time zone is UTC and months mean nothing. A patient's gaps are real.
"""

from __future__ import annotations

import csv
import gzip
import os
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from governance.settings import PROJECT_ROOT

HOSPITAL = "MIMIC"
# The last patient leaves on 2201-10-30; every window anybody asks for has closed by then.
DATA_THROUGH = datetime(2202, 1, 1, tzinfo=UTC)

DISPOSITIONS = {
    "HOME": "home",
    "ADMITTED": "admitted",
    "TRANSFER": "transferred",
    "LEFT WITHOUT BEING SEEN": "lwbs",
    "LEFT AGAINST MEDICAL ADVICE": "ama",
    # Eloped: walked out unannounced after care had begun. They were seen, so it is no LWBS (which
    # would hide them as a return); leaving before the end against the plan is what AMA counts.
    "ELOPED": "ama",
    "EXPIRED": "died",
    "OTHER": "other",
}
ARRIVAL_MODES = {
    "AMBULANCE": "ambulance",
    "WALK IN": "walk_in",
    "HELICOPTER": "helicopter",
    "OTHER": "other",
    "UNKNOWN": "unknown",
}
# Vital sign -> (LOINC code, UCUM unit). Temperatures are in Fahrenheit; a few were typed in Celsius
# and stay as they are: plausibility is not this loader's to decide.
VITALS = {
    "temperature": ("8310-5", "[degF]"),
    "heartrate": ("8867-4", "/min"),
    "resprate": ("9279-1", "/min"),
    "o2sat": ("59408-5", "%"),
    "sbp": ("8480-6", "mm[Hg]"),
    "dbp": ("8462-4", "mm[Hg]"),
    "pain": ("72514-3", "{score}"),
}
# First word of a dispensed drug's name -> RxNorm ingredient of seeds/code_systems. Drugs without a
# code there are left out, all of medrecon.csv (what patients take at home) too: this file's own
# codes (GSN, NDC) are no code system of the warehouse.
INGREDIENTS = {
    "acetaminophen": "161",
    "aspirin": "1191",
    "ibuprofen": "5640",
    "morphine": "7052",
    "ondansetron": "26225",
    "furosemide": "4603",
    "ceftriaxone": "2193",
    "acetamin": "161",  # names are cut off at 32 characters in the middle of a word
    "hepari": "5224",
    "heparin": "5224",
    "prednisone": "8640",
}


def folder() -> Path | None:
    """Where the data lie, or None."""
    named = os.environ.get("SCUTARI_SHARED_DATA")
    base = Path(named) if named else PROJECT_ROOT.parent / "shared" / "data"
    path = base / "mimic_iv_ed_demo" / "ed"
    return path if path.is_dir() else None


def read(name: str) -> list[dict[str, str]]:
    """One file's rows as text.

    Raises:
        FileNotFoundError: the data are not there; tests skip before they come here.
    """
    path = folder()
    if path is None:
        raise FileNotFoundError("The MIMIC-IV-ED demo is not at hand: set SCUTARI_SHARED_DATA.")
    with gzip.open(path / f"{name}.csv.gz", "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def operational_rows() -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The whole demo as content for `tests.helpers.operational.write_installation`."""
    stays = read("edstays")
    subjects = {int(row["stay_id"]): int(row["subject_id"]) for row in stays}
    return {
        "ehr": {
            "hospitals": [{"hospital_id": HOSPITAL, "time_zone": "UTC"}],
            "feeds": [{"hospital_id": HOSPITAL, "data_through_at": DATA_THROUGH}],
            "patients": _patients(stays),
            "ed_visits": _visits(stays),
            "ed_visit_diagnoses": _diagnoses(stays),
            "observations": _observations(subjects),
            "medications": _medications(subjects),
        }
    }


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _patients(stays: list[dict[str, str]]) -> list[dict[str, Any]]:
    """One patient per subject, linkable by a health number of its own; birth dates are unknown."""
    sexes = {int(row["subject_id"]): row["gender"] for row in stays}
    return [
        {
            "patient_id": subject,
            "hospital_id": HOSPITAL,
            "health_number": f"HN{subject}",
            "sex_code": sex,
            "birth_date": None,
        }
        for subject, sex in sorted(sexes.items())
    ]


def _visits(stays: list[dict[str, str]]) -> list[dict[str, Any]]:
    triage = {row["stay_id"]: row for row in read("triage")}
    return [
        {
            "visit_id": int(row["stay_id"]),
            "hospital_id": HOSPITAL,
            "patient_id": int(row["subject_id"]),
            "arrived_at": _instant(row["intime"]),
            "departed_at": _instant(row["outtime"]),
            "acuity_code": triage[row["stay_id"]]["acuity"] or None,
            "arrival_mode_code": ARRIVAL_MODES[row["arrival_transport"]],
            "complaint_code": None,
            "chief_complaint": triage[row["stay_id"]]["chiefcomplaint"],
            "disposition_code": DISPOSITIONS[row["disposition"]],
        }
        for row in stays
    ]


def _diagnoses(stays: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Diagnoses as coded; ICD-9 codes are marked, so that the code system refuses them all.

    Unmarked, seven would be taken for ICD-10-CM codes of another meaning: E888.9 is a fall in ICD-9
    and a metabolic disorder in ICD-10-CM.
    """
    left = {row["stay_id"]: _instant(row["outtime"]) for row in stays}
    return [
        {
            "visit_id": int(row["stay_id"]),
            "sequence_number": int(row["seq_num"]),
            "diagnosis_code": ("ICD9 " if row["icd_version"] == "9" else "") + row["icd_code"],
            "recorded_at": left[row["stay_id"]],
        }
        for row in read("diagnosis")
    ]


def _observations(subjects: dict[int, int]) -> list[dict[str, Any]]:
    rows = []
    for row in read("vitalsign"):
        for name, (code, unit) in VITALS.items():
            value = _number(row[name])
            if value is None:
                continue
            rows.append(
                {
                    "hospital_id": HOSPITAL,
                    "patient_id": subjects[int(row["stay_id"])],
                    "ed_visit_id": int(row["stay_id"]),
                    "observed_at": _instant(row["charttime"]),
                    "observation_code": code,
                    "value": value,
                    "unit_code": unit,
                }
            )
    return rows


def _number(text: str) -> Decimal | None:
    """A measured value; pain is sometimes a word ("asleep"), which is no number."""
    try:
        return Decimal(text.strip())
    except InvalidOperation:
        return None


def _medications(subjects: dict[int, int]) -> list[dict[str, Any]]:
    """Dispensed drugs with a code; gsn_rn counts the package codes of one dispensing: the first."""
    rows = []
    for row in read("pyxis"):
        words = re.findall(r"[a-z]+", row["name"].lower())
        code = INGREDIENTS.get(words[0]) if words else None
        if code is None or row["gsn_rn"] != "1":
            continue
        rows.append(
            {
                "hospital_id": HOSPITAL,
                "patient_id": subjects[int(row["stay_id"])],
                "ed_visit_id": int(row["stay_id"]),
                "administered_at": _instant(row["charttime"]),
                "medication_code": code,
            }
        )
    return rows
