"""The steps of a worked history: rows that each model makes of it, for the next one to read."""

from __future__ import annotations

from datetime import datetime

from ops.histories.worked import SEEDS, History, Visit, read_rows

HEADLINE = "ed_return_72h_admitted"

Value = str | int | bool | datetime | None
Row = dict[str, Value]


def departures(history: History) -> list[Row]:
    """Rows of int_ed_visits__departures."""
    return [
        {
            "ed_visit_key": visit.key,
            "person_key": visit.person,
            "hospital_key": visit.hospital,
            "lone_key": None if visit.person else visit.key,
            "disposition_code": visit.disposition,
            "is_planned": visit.is_planned,
            "is_departure_known": visit.is_departure_known,
            "arrived_on": visit.arrived_local[:10],
            "arrived_at": visit.arrived_at,
            "effective_departed_at": visit.effective_departed_at,
        }
        for visit in history.visits
    ]


def registrations_in_legs(history: History) -> list[Row]:
    """Rows of int_ed_visits__legs."""
    return [
        {
            **row,
            "leg_key": visit.leg,
            "leaving_rank": visit.leaving_rank,
            "is_joined": len(history.leg(visit.leg)) > 1,
        }
        for row, visit in zip(departures(history), history.visits, strict=True)
    ]


def leg_outcomes(history: History) -> list[Row]:
    """Rows of int_ed_legs__outcomes; what a disposition allows comes from the seed."""
    rules = {row["disposition_code"]: row for row in read_rows(SEEDS / "ed_disposition_rules.csv")}
    rows: list[Row] = []
    for key in history.legs():
        last = history.leg(key)[0]
        first = next(visit for visit in history.visits if visit.key == key)
        rule = rules.get(last.disposition or "", {})
        rows.append(
            {
                "leg_key": key,
                "person_key": last.person,
                "hospital_key": last.hospital,
                "lone_key": None if last.person else key,
                "last_visit_key": last.key,
                "disposition_code": last.disposition,
                "exclusion_code": rule.get("exclusion_code", "open") or None,
                "is_planned": first.is_planned,
                "is_departure_known": last.is_departure_known,
                "can_be_index": rule.get("can_be_index", "false") == "true",
                "can_be_return": rule.get("can_be_return", "true") == "true",
                "is_admission": rule.get("is_admission", "false") == "true",
                "is_transfer": rule.get("is_transfer", "false") == "true",
                "is_death": rule.get("is_death", "false") == "true",
                "arrived_on": first.arrived_local[:10],
                "arrived_at": first.arrived_at,
                "departed_at": history.departed_at(key),
            }
        )
    return rows


def followed_legs(history: History) -> list[Row]:
    """Rows of int_ed_legs__follow_up."""
    return [
        {
            **{name: row[name] for name in row if name not in ("is_death", "arrived_on")},
            "follow_up_seconds": history.follow_up_seconds(str(row["leg_key"])),
            "arrived_month_on": first_of_leg(history, str(row["leg_key"])).month_on,
        }
        for row in leg_outcomes(history)
    ]


def legs_in_stays(history: History) -> list[Row]:
    """Rows of int_ed_legs__stays."""
    left_behind = ("lone_key", "is_transfer", "is_planned")
    legs = {
        row["leg_key"]: {name: value for name, value in row.items() if name not in left_behind}
        for row in followed_legs(history)
    }
    return [
        {
            **legs[leg],
            "stay_key": stay,
            "leg_number": number,
            "is_last_leg": leg == history.stay(stay)[-1],
            "is_stay_planned": first_of_leg(history, stay).is_planned,
        }
        for stay in history.stays()
        for number, leg in enumerate(history.stay(stay), start=1)
    ]


def stay_outcomes(history: History) -> list[Row]:
    """Rows of int_ed_stays__outcomes."""
    rows: list[Row] = []
    for stay in history.stays():
        first = next(visit for visit in history.visits if visit.key == stay)
        last_leg = history.stay(stay)[-1]
        last = history.leg(last_leg)[0]
        rows.append(
            {
                "stay_key": stay,
                "person_key": first.person,
                "hospital_key": first.hospital,
                "last_hospital_key": last.hospital,
                "index_visit_key": last.key,
                "outcome_code": first.outcome,
                "follow_up_seconds": history.follow_up_seconds(last_leg),
                "is_planned": first.is_planned,
                "is_departure_known": last.is_departure_known,
                "is_index": last.exclusion_reason is None,
                "is_return_candidate": first.may_return,
                "started_at": first.arrived_at,
                "index_arrived_at": min(visit.arrived_at for visit in history.leg(last_leg)),
                "index_departed_at": history.departed_at(last_leg),
                "index_month_on": first_of_leg(history, last_leg).month_on,
            }
        )
    return rows


def index_visits(history: History) -> list[Row]:
    """Rows of fct_ed_returns, as far as measures look at them."""
    rows: list[Row] = []
    for stay in history.index_stays():
        leg = history.stay(stay)[-1]
        index = history.leg(leg)[0]
        returned = _return_of(history, index)
        rows.append(
            {
                "index_visit_key": index.key,
                "return_visit_key": index.return_visit,
                "hospital_key": index.hospital,
                "return_hospital_key": returned.hospital if returned else None,
                "return_outcome_code": returned.outcome if returned else None,
                "elapsed_seconds": index.elapsed_seconds,
                "follow_up_seconds": history.follow_up_seconds(leg),
                "is_return_admitted": bool(returned and returned.outcome == "admitted"),
                "index_month_on": first_of_leg(history, leg).month_on,
            }
        )
    return rows


def _return_of(history: History, index: Visit) -> Visit | None:
    return next((visit for visit in history.visits if visit.key == index.return_visit), None)


def first_of_leg(history: History, leg: str) -> Visit:
    """Return the registration that a leg began with."""
    return next(visit for visit in history.visits if visit.key == leg)


def measured(history: History) -> list[Row]:
    """Rows of fct_ed_measured_returns: none where the history's answer has no index visits."""
    return [
        {
            "measure_code": HEADLINE,
            "index_visit_key": row["index_visit_key"],
            "hospital_key": row["hospital_key"],
            "is_counted": row["index_visit_key"] == history.attributed_visit,
            "index_month_on": row["index_month_on"],
        }
        for row in index_visits(history)
        if history.index_visits
    ]


def monthly_counts(history: History) -> list[Row]:
    """Rows of rpt_ed_returns_monthly."""
    counts: dict[tuple[str, str], list[int]] = {}
    for leg in history.legs():
        first = first_of_leg(history, leg)
        row = counts.setdefault((first.hospital, first.month_on), [0, 0, 0])
        row[2] += 1 if history.all_visits else 0
    for item in measured(history):
        row = counts[str(item["hospital_key"]), str(item["index_month_on"])]
        row[0] += int(bool(item["is_counted"]))
        row[1] += 1
    return [
        {
            "hospital_key": hospital,
            "month_on": month,
            "numerator_count": numerator,
            "index_visits_count": index,
            "all_visits_count": visits,
        }
        for (hospital, month), (numerator, index, visits) in sorted(counts.items())
    ]


def pick(rows: list[Row], *columns: str) -> list[Row]:
    """The same rows with fewer columns."""
    return [{column: row[column] for column in columns} for row in rows]
