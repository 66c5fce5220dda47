"""What people come with: complaints, and the ICD-10-CM diagnoses behind them.

One entry per condition: its complaint, its diagnoses in the ED and on discharge from a ward, and
how often it is met among children, adults and people over 64, sent home or admitted. The
proportions are invented but shaped like a department's: the demo is no source of clinical facts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.draw import Bools, Draw, Floats, Ints

Weights = tuple[float, float, float]
_NEVER: Weights = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Condition:
    """One condition.

    Attributes:
        at_home: weights among children, adults, older people who are sent home.
        admitted: the same among those admitted.
        group: the group of main diagnoses whose returns are planted exactly, where there is one.
        severity: 0 (minor) to 1 (life-threatening), moves the triage acuity.
    """

    name: str
    complaint: str
    ed_codes: tuple[str, ...]
    inpatient_codes: tuple[str, ...]
    at_home: Weights
    admitted: Weights
    severity: float
    group: str = ""


def _c(  # noqa: PLR0917 - a table of conditions, one a line
    name: str,
    complaint: str,
    ed: str,
    ward: str,
    at_home: Weights,
    admitted: Weights,
    severity: float,
    group: str = "",
) -> Condition:
    return Condition(
        name, complaint, tuple(ed.split()), tuple(ward.split()), at_home, admitted, severity, group
    )


CONDITIONS: tuple[Condition, ...] = (
    _c(
        "stomach_ache", "abdominal_pain", "R10.9 R10.84", "K56.609 K52.9", (8, 9, 6), (3, 5, 6), 0.4
    ),
    _c("gallstones", "abdominal_pain", "K80.20", "K80.00 K81.0", (0, 2, 2), (0, 4, 4), 0.5),
    _c("diverticulitis", "abdominal_pain", "K57.32", "K57.32 K57.20", (0, 1, 2), (0, 3, 4), 0.5),
    _c("pancreatitis", "abdominal_pain", "K85.90", "K85.90 K85.20", (0, 0.3, 0.2), (0, 3, 2), 0.6),
    _c(
        "appendicitis",
        "abdominal_pain",
        "K35.80",
        "K35.80 K35.30 K37",
        _NEVER,
        (6, 3, 1),
        0.6,
        "appendicitis",
    ),
    _c("chest_pain", "chest_pain", "R07.9 R07.89", "I20.9 R07.9", (1, 7, 7), (0, 5, 6), 0.6),
    _c(
        "heart_attack",
        "chest_pain",
        "I21.4 I21.9",
        "I21.4 I21.3 I21.11",
        _NEVER,
        (0, 3, 4),
        0.9,
        "ami",
    ),
    _c("fibrillation", "chest_pain", "I48.91", "I48.91 I48.0", (0, 1, 3), (0, 2, 4), 0.7),
    _c("asthma", "shortness_of_breath", "J45.901", "J45.901", (4, 2, 1), (8, 2, 1), 0.6),
    _c("copd", "shortness_of_breath", "J44.1", "J44.1 J44.0", (0, 1, 3), (0, 3, 7), 0.7),
    _c(
        "heart_failure",
        "shortness_of_breath",
        "I50.9",
        "I50.23 I50.33",
        (0, 0.4, 2),
        (0, 2, 8),
        0.7,
    ),
    _c("lung_embolism", "shortness_of_breath", "I26.99", "I26.99", (0, 0.2, 0.2), (0, 2, 2), 0.8),
    _c("pneumonia", "cough", "J18.9", "J18.9 J15.9", (2, 2, 2), (6, 4, 8), 0.6),
    _c("headache", "headache", "R51.9 G43.909", "G43.909", (2, 6, 2), (1, 1, 0.5), 0.4),
    _c("brain_bleed", "headache", "I60.9", "I60.9 I60.7", _NEVER, (0, 0.4, 0.4), 1.0, "sah"),
    _c("fever", "fever", "R50.9 B34.9", "B34.9 R50.9", (12, 3, 1), (6, 1, 1), 0.4),
    _c("sepsis", "fever", "A41.9", "A41.9 A41.51 A40.3", _NEVER, (1, 3, 7), 0.9, "sepsis"),
    _c("ankle_sprain", "limb_injury", "S93.401A", "S93.401A", (9, 8, 3), _NEVER, 0.1),
    _c("wrist_fracture", "limb_injury", "S52.501A", "S52.501A", (6, 3, 4), (1, 0.5, 0.5), 0.3),
    _c("hip_fracture", "limb_injury", "S72.001A", "S72.001A", _NEVER, (0, 0.3, 6), 0.6),
    _c("cut_hand", "laceration", "S61.411A", "S61.411A", (4, 6, 2), _NEVER, 0.2),
    _c("cut_face", "laceration", "S01.81XA", "S01.81XA", (6, 2, 3), _NEVER, 0.2),
    _c("back_pain", "back_pain", "M54.50 M54.9", "M54.50 M46.46", (0.5, 7, 6), (0, 1, 2), 0.3),
    _c("vomiting", "vomiting", "R11.2 A09", "A09 E86.0", (9, 4, 3), (6, 2, 3), 0.3),
    _c("weakness", "weakness", "R53.1 R42", "E87.1 E86.0", (0.5, 4, 7), (0, 2, 5), 0.5),
    _c("stroke", "weakness", "I63.9 G45.9", "I63.9", (0, 0.3, 1), (0, 2, 6), 0.9),
    _c("cold", "cough", "J06.9 J20.9", "J20.9", (12, 5, 3), (1, 0.3, 1), 0.1),
    _c("bronchiolitis", "cough", "J21.9", "J21.9", (4, 0, 0), (9, 0, 0), 0.5),
    _c("sore_throat", "sore_throat", "J02.9 J03.90", "J36", (7, 4, 0.5), (0.5, 0.5, 0), 0.2),
    _c("cystitis", "urinary_symptoms", "N39.0 R30.0", "N39.0", (2, 4, 5), (1, 1, 5), 0.3),
    _c("kidney_stone", "urinary_symptoms", "N20.0", "N20.0 N13.2", (0, 3, 2), (0, 1.5, 1), 0.5),
    _c("pyelonephritis", "urinary_symptoms", "N10", "N10", (1, 1, 1), (2, 2, 2), 0.5),
    _c("rash", "rash", "R21 L50.9", "L50.9", (6, 3, 2), (0.3, 0.1, 0.2), 0.2),
    _c("cellulitis", "rash", "L03.115", "L03.115 L03.116", (1, 2, 3), (1, 3, 4), 0.4),
    _c("anxiety", "mental_health", "F41.9 F32.A", "F32.A", (1, 4, 1), (1, 1, 0.5), 0.4),
    _c("suicidal", "mental_health", "R45.851", "F33.2", (1, 1, 0.3), (3, 3, 0.5), 0.7),
    _c("psychosis", "mental_health", "F20.9", "F20.9", (0, 0.6, 0.2), (0, 2, 0.3), 0.6),
    _c("intoxication", "alcohol_or_drugs", "F10.129", "F10.239", (0.3, 4, 1), (0, 2, 0.5), 0.5),
    _c("overdose", "alcohol_or_drugs", "T40.2X1A", "T40.2X1A", (0.1, 0.6, 0.1), (0.2, 1, 0.3), 0.8),
    _c("concussion", "head_injury", "S09.90XA S06.0X0A", "S06.0X0A", (8, 3, 4), (1, 0.5, 1), 0.4),
    _c("subdural", "head_injury", "S06.5X0A", "S06.5X0A", _NEVER, (0, 0.3, 1.5), 0.9),
    _c("red_eye", "eye_problem", "H10.9 H57.10", "H10.9", (2, 2, 2), _NEVER, 0.1),
    _c("faint", "syncope", "R55", "R55 I49.5", (1, 3, 4), (0.3, 1, 3), 0.5),
    _c("recheck", "planned_recheck", "Z48.00 Z09", "Z09", _NEVER, _NEVER, 0.0),
    _c("allergy", "other", "T78.40XA", "T78.2XXA", (3, 2, 1), (0.5, 0.5, 0.3), 0.5),
    _c("toothache", "other", "K08.89", "K04.7", (1, 3, 1), (0.1, 0.3, 0.1), 0.1),
    _c("diabetes", "other", "E11.65", "E11.65 E11.00", (0, 1, 1.5), (0, 1.5, 2), 0.5),
)

POSITION_OF = {condition.name: position for position, condition in enumerate(CONDITIONS)}
COMPLAINTS = tuple(dict.fromkeys(condition.complaint for condition in CONDITIONS))
COMPLAINT_OF = np.array([COMPLAINTS.index(condition.complaint) for condition in CONDITIONS])
SEVERITY = np.array([condition.severity for condition in CONDITIONS])
GROUPS = ("", "appendicitis", "ami", "sah", "sepsis")
GROUP_OF = np.array([GROUPS.index(condition.group) for condition in CONDITIONS])
IS_ABDOMINAL = np.array([condition.complaint == "abdominal_pain" for condition in CONDITIONS])

# Chronic conditions: share among children, adults, older people, and the code that is written down.
CHRONIC: tuple[tuple[str, str, Weights], ...] = (
    ("type_2_diabetes", "E11.9", (0.0, 0.07, 0.20)),
    ("heart_failure", "I50.22", (0.0, 0.01, 0.09)),
    ("hypertension", "I10", (0.0, 0.14, 0.45)),
    ("copd", "J44.9", (0.0, 0.03, 0.11)),
    ("kidney_disease", "N18.30", (0.0, 0.01, 0.10)),
    ("high_cholesterol", "E78.5", (0.0, 0.08, 0.25)),
)

ALL_CODES = tuple(
    dict.fromkeys(
        [code for c in CONDITIONS for code in (*c.ed_codes, *c.inpatient_codes)]
        + [code for _, code, _ in CHRONIC]
    )
)


def draw_conditions(
    draw: Draw, purpose: str, rows: Ints, *, band: Ints, is_admitted: Bools, allowed: Bools
) -> Ints:
    """Draw one condition per row.

    Args:
        draw: the seed's draws.
        purpose: name of this draw.
        rows: row numbers.
        band: 0 child, 1 adult, 2 over 64.
        is_admitted: whether the row's visit ends in admission.
        allowed: one flag per condition.
    """
    result = np.zeros(len(rows), dtype=np.int64)
    for position in range(3):
        for kind in (False, True):
            chosen = np.flatnonzero((band == position) & (is_admitted == kind))
            if len(chosen):
                weights = _weights(position, kind) * allowed
                result[chosen] = draw.choice(purpose, rows[chosen], weights)
    return result


def _weights(band: int, is_admitted: bool) -> Floats:
    return np.array([(c.admitted if is_admitted else c.at_home)[band] for c in CONDITIONS])


def draw_codes(draw: Draw, purpose: str, rows: Ints, condition: Ints, *, on_ward: bool) -> Ints:
    """Draw one diagnosis per row: its position in ALL_CODES."""
    lists = [c.inpatient_codes if on_ward else c.ed_codes for c in CONDITIONS]
    width = max(len(codes) for codes in lists)
    table = np.array(
        [[ALL_CODES.index(codes[i % len(codes)]) for i in range(width)] for codes in lists]
    )
    sizes = np.array([len(codes) for codes in lists])
    return table[condition, draw.below(purpose, rows, sizes[condition])]
