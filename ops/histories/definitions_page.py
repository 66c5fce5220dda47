"""The page of definitions: measures, rules and worked histories, as readers of a rate need them."""

from __future__ import annotations

from ops.histories.measure_histories import (
    PREFIX,
    EdVisit,
    Inpatient,
    MeasureHistory,
    measure_codes,
)
from ops.histories.worked import SEEDS, History, Visit, read_rows

INTRODUCTION = """\
# ED return visits: definitions

This page is written by `python -m ops.histories.generate` from the seeds of `seeds/ed_returns` and
the worked histories of `tests/histories`. The same histories are the unit tests of the models: what
stands here is what is computed.

## Words

- **Registration**: one row of an ED's registration system.
- **Visit (leg)**: registrations of one person at one hospital that touch or overlap. The one that
  leaves last has the last word on how the visit ended.
- **Stay**: a visit, and the visits it was transferred on to, each at another
  hospital within {transfer_window_hours} hours of leaving the one before.
- **Departure**: leaving the ED; where that is not written down, the decision on the disposition.
- **Index visit**: the last visit of an unplanned stay of a known person that ended in discharge
  home. It belongs to the hospital that sent the patient home.
- **Return**: the first later stay of the same person, at any hospital of the network, that is
  neither planned nor ended unseen, and starts after the departure. An index visit has at most one
  return and a return belongs to at most one index visit.
- **Direct admission**: an inpatient encounter of a known person that is not planned, did not come
  through an ED (it names no ED visit, and its type, where one is written down, says so) and does
  not begin while another inpatient encounter lasts or as it ends. It follows the index visit that
  was left last before it, unless a return has begun by then; an index visit has at most one.
  Measures of it pair the index visit with it instead of a return (`pairing_code`); all else holds.
- **Re-attendance**: of every unplanned visit of a known person whose departure is known, however it
  ended, the person's next unplanned visit to the same ED. Visits to other EDs are passed over. The
  measure's index denominator holds all those visits instead of index visits.
- **Complete follow-up**: every feed is complete for the whole window after the departure, or the
  person has died. Visits without it are in no count of a measure that asks for it
  (`requires_complete_follow_up`), as all measures here do.
- **Known outcome**: the return within the window, if any, has ended. An index visit without it is
  in no count of a measure that asks for it (`requires_known_outcome`), as all measures here do.
- **Left out by diagnosis**: a measure may name a diagnosis group whose visits are no index visits
  (`index_exclusion_group_code`), and one whose visits are not counted as returns
  (`return_exclusion_group_code`). No measure here does. Of a measure that leaves out diagnoses or
  does not wait, each hospital sees its own counts, and the network none.
- **Month**: that of the visit's arrival, on the hospital's own clock.
- **all_visits**: every visit with complete follow-up, each leg of a transfer counted.
- **index_visits**: index visits with complete follow-up and a known outcome.
"""

PUBLISHED_NOTE = """\
## Published figures

- **Hidden**: a count of 1 to 10, and one that could be worked out from others. Zero is shown.
- **Closed**: a month and a half-year are shown ten days after their end, when returns and
  departures are in; claims and member months 90 days after the end of the month of service.
- **Frozen**: what was shown of a closed period stays, whatever is corrected later.
  `data_through_at` of the row says as of when. Once each half-year a hospital's figures are
  revised, where old and new ones do not show a small count between them; claims are final.
- **Totals to date** (the steps below, and those of cohorts) are rounded up to tens and change once
  a month.
- A hospital's own figures are whole and the newest: they can differ from what the network shows.
"""

MEASURE_HEADER = [
    "## Measures",
    "",
    "| code | measure | window | source |",
    "|---|---|---|---|",
]

RULES_NOTE = """\
None of these definitions has been checked against a programme's own specification (`verified` is
false in every row of the seeds): they are this project's choices where no public text could be
opened, and figures made by them are not official.
"""

HISTORIES_NOTE = """\
## Worked histories

Each history is one person, or visits of nobody known. Times are those of the hospital's clock. The
answer is for the 72-hour return with admission: numerator / index visits / all visits.
"""


MEASURES_NOTE = f"""\
## Worked histories of every measure

Each history is one person, told for all measures at once. Of an index visit are said the measures
that count it and those whose index denominator does not hold it; in all others it is in the
denominator and not counted. Codes are written without `{PREFIX}`. Re-attendance asks of every
visit, not of index visits: the histories about it say so in a table of their own.
"""


def definitions_page(histories: list[History], of_measures: list[MeasureHistory]) -> str:
    """The page as Markdown."""
    rules = {
        row["rule_code"]: row["rule_value"] for row in read_rows(SEEDS / "ed_return_rules.csv")
    }
    lines = [INTRODUCTION.format(**rules), *MEASURE_HEADER]
    lines.extend(_measure(row) for row in read_rows(SEEDS / "ed_return_measures.csv"))
    lines.extend(["", RULES_NOTE, *_diagnosis_groups(), "", PUBLISHED_NOTE])
    lines.extend([*_exclusions(), "", HISTORIES_NOTE])
    for history in histories:
        lines.extend(_history(history))
    lines.append(MEASURES_NOTE)
    for history_of_measures in of_measures:
        lines.extend(_measure_history(history_of_measures))
    return "\n".join(lines).rstrip("\n") + "\n"


def _measure(row: dict[str, str]) -> str:
    return (
        f"| `{row['measure_code']}` | **{row['measure_name']}.** {row['definition']}. "
        f"| {row['window_hours']} h | {row['source']} |"
    )


def _diagnosis_groups() -> list[str]:
    groups: dict[str, list[str]] = {}
    for row in read_rows(SEEDS / "ed_diagnosis_groups.csv"):
        age = f" up to the age of {row['maximum_age_years']}" if row["maximum_age_years"] else ""
        groups.setdefault(row["group_code"], []).append(row["icd10_prefix"] + age)
    lines = ["| diagnosis group | ICD-10-CM codes that begin with |", "|---|---|"]
    return lines + [f"| `{group}` | {', '.join(codes)} |" for group, codes in groups.items()]


def _exclusions() -> list[str]:
    rows = read_rows(SEEDS / "ed_return_steps.csv")
    lines = [
        "## From registrations to the numerator",
        "",
        "| step | what is counted |",
        "|---|---|",
    ]
    return lines + [
        f"| `{row['step_code']}` | {'less: ' if row['is_exclusion'] == 'true' else ''}"
        f"{row['step_name']} |"
        for row in rows
    ]


def _history(history: History) -> list[str]:
    answer = f"{history.numerator} / {history.index_visits} / {history.all_visits}"
    lines = [
        f"### {history.example}. {_title(history.name)}",
        "",
        f"**{answer}**: {history.why}.",
    ]
    if history.other_facts:
        lines.append(f"Beside the visits: {history.other_facts}.")
    lines.extend(
        [
            "",
            "| visit | hospital | arrived | left | ended | index visit? | return |",
            "|---|---|---|---|---|---|---|",
        ]
    )
    lines.extend(_visit(visit) for visit in history.visits)
    return [*lines, f"\nData complete to {history.data_through:%Y-%m-%d %H:%M:%S} UTC.\n"]


def _visit(visit: Visit) -> str:
    left = visit.departed_local or "not recorded"
    ended = f"{visit.disposition or 'not known'}{' (planned)' if visit.is_planned else ''}"
    index = visit.exclusion_reason or "yes"
    returned = (
        ""
        if visit.elapsed_seconds is None
        else f"{visit.return_visit} after {_clock(visit.elapsed_seconds)}"
    )
    return (
        f"| {visit.key} | {visit.hospital} | {visit.arrived_local} | {left} | {ended} "
        f"| {index} | {returned} |"
    )


def _clock(elapsed_seconds: int) -> str:
    minutes, seconds = divmod(elapsed_seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02} h"


def _measure_history(history: MeasureHistory) -> list[str]:
    lines = [
        f"### {history.example}. {_title(history.name)}",
        "",
        f"{history.why[0].upper()}{history.why[1:]}. Born {history.born_on}"
        + (f", died {history.died_on}." if history.died_on else "."),
        "",
        "| visit | hospital | from | to | ended | main diagnosis |",
        "|---|---|---|---|---|---|",
        *(_ed_visit(visit) for visit in history.visits),
        *(_inpatient(stay) for stay in history.inpatient),
        "",
        "| index visit | return | direct admission | counted in | not in the denominator of |",
        "|---|---|---|---|---|",
    ]
    for answer in history.answers:
        lines.append(
            f"| {answer.index_visit.key} | {_after(answer.returned, answer.elapsed_seconds)} "
            f"| {_after(answer.admission, answer.admitted_after_seconds)} "
            f"| {_codes(answer.counted_in)} | {_codes(answer.left_out_of)} |"
        )
    if history.attendances:
        lines.extend(_attendances(history))
    return [*lines, f"\nData complete to {history.data_through:%Y-%m-%d %H:%M:%S} UTC.\n"]


def _attendances(history: MeasureHistory) -> list[str]:
    said = {True: "yes", False: "no", None: "not in the denominator"}
    return [
        "",
        "| attendance | next at the same ED | 7-day re-attendance |",
        "|---|---|---|",
        *(
            f"| {one.visit.key} | {_after(one.next_visit, one.elapsed_seconds)} "
            f"| {said[one.is_counted]} |"
            for one in history.attendances
        ),
    ]


def _ed_visit(visit: EdVisit) -> str:
    ended = f"{visit.disposition or 'not known'}{' (planned)' if visit.is_planned else ''}"
    return (
        f"| {visit.key} | {visit.hospital} | {visit.arrived_local} "
        f"| {visit.departed_local or 'not recorded'} | {ended} | {visit.diagnosis or 'none'} |"
    )


def _inpatient(stay: Inpatient) -> str:
    through = f"through {stay.ed_visit}" if stay.ed_visit else "no ED visit"
    kind = f"inpatient, {stay.admission_type or 'type not known'}, {through}"
    return (
        f"| {stay.key} | {stay.hospital} | {stay.admitted_local} "
        f"| {stay.discharged_local or 'not recorded'} | {kind} | {stay.diagnosis or 'none'} |"
    )


def _after(key: str | None, elapsed_seconds: int | None) -> str:
    return f"{key} after {_clock(elapsed_seconds or 0)}" if key else "none"


def _codes(codes: frozenset[str]) -> str:
    named = [code.removeprefix(PREFIX) for code in measure_codes() if code in codes]
    return ", ".join(named) or "none"


def _title(name: str) -> str:
    return name[0].upper() + name[1:].replace("_", " ")
