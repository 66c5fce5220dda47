"""The tables of the small warehouse that only a hospital's own file shows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import numpy as np


def insert(con: duckdb.DuckDBPyConnection, table: str, columns: str, rows: list[Any]) -> None:
    """Make a table of rows."""
    con.execute(f"create table {table} ({columns})")
    marks = ", ".join("?" for _ in columns.split(", "))
    con.executemany(f"insert into {table} values ({marks})", rows)


def fill_own(
    con: duckdb.DuckDBPyConnection, volumes: Mapping[str, int], data_through_at: dt.datetime
) -> None:
    """Write worklist, flow, reviews and time to return.

    Args:
        con: the warehouse, with its monthly returns.
        volumes: index visits a month of each hospital, about.
        data_through_at: to when the data are complete.
    """
    _flow(con, list(volumes))
    _audits(con, list(volumes))
    _audits_half_yearly(con, list(volumes))
    _time_to_return(con, volumes, data_through_at)


def _flow(con: duckdb.DuckDBPyConnection, hospitals: Sequence[str]) -> None:
    insert(
        con,
        "marts.rpt_ed_review_worklist",
        "index_visit_key varchar, return_visit_key varchar, hospital_key varchar, "
        "reason_code varchar, sample_number int, quota_count int, is_return_elsewhere boolean, "
        "is_quarter_open boolean, is_drawn boolean, quarter_on date",
        _review_cases(hospitals),
    )
    con.execute(
        """
        create table marts.rpt_ed_visit_mix_monthly as
        select
            hospital_key, dimension_code, value_code, value_name,
            all_visits_count // parts as visits_count, month_on
        from marts.rpt_ed_returns_monthly, lateral (values
            ('disposition', 'home', 'Discharged home', 2),
            ('disposition', 'admitted', 'Admitted to hospital', 8),
            ('disposition', 'lwbs', 'Left without being seen', 40),
            ('acuity', '3', 'Urgent', 1),
            ('arrival_mode', 'ambulance', 'Ambulance', 1),
            ('arrival_hour', '09', '09:00', 2),
            ('arrival_hour', '23', '23:00', 2)
        ) as mix(dimension_code, value_code, value_name, parts)
        where measure_code = 'ed_return_72h_admitted'
        """
    )
    con.execute(
        """
        create table marts.rpt_ed_intervals_monthly as
        select
            hospital_key, interval_code, disposition_code, all_visits_count as visits_count,
            all_visits_count - 1 as measured_count, minutes as median_minutes,
            3 * minutes as p90_minutes, month_on
        from marts.rpt_ed_returns_monthly, lateral (values
            ('length_of_stay', 'all', 200), ('length_of_stay', 'home', 150),
            ('arrival_to_triage', 'all', 10), ('triage_to_physician', 'all', 50),
            ('boarding', 'all', 400)
        ) as intervals(interval_code, disposition_code, minutes)
        where measure_code = 'ed_return_72h_admitted'
        """
    )
    con.execute(
        """
        create table marts.rpt_ed_census_monthly as
        select
            hospital_key, cast(hour as int) as read_hour, 30 as readings_count,
            all_visits_count // 8 + hour as patients_count,
            all_visits_count // 100 + hour as most_patients_count, month_on
        from marts.rpt_ed_returns_monthly, lateral (select unnest(range(24)) as hour)
        where measure_code = 'ed_return_72h_admitted'
        """
    )


def _audits(con: duckdb.DuckDBPyConnection, hospitals: Sequence[str]) -> None:
    """Of each hospital four reviewed cases of one quarter, one with an issue of two causes."""
    quarter = dt.date(2024, 10, 1)
    insert(
        con,
        "marts.rpt_ed_audits_quarterly",
        "hospital_key varchar, reviewed_count bigint, issue_count bigint, "
        "reviewed_twice_count bigint, unknown_cases_count bigint, quarter_on date",
        [(hospital, 4, 1, 2, 0, quarter) for hospital in hospitals],
    )
    insert(
        con,
        "marts.rpt_ed_audit_themes",
        "hospital_key varchar, theme_code varchar, theme_group_code varchar, theme_name varchar, "
        "sort_number integer, reviewed_count bigint, issue_count bigint, theme_count bigint, "
        "quarter_on date",
        [
            (hospital, *theme, 4, 1, count, quarter)
            for hospital in hospitals
            for *theme, count in (
                ("elder_care", "patient", "Care of older patients", 2, 1),
                ("handover", "team", "Handover and communication", 6, 1),
                ("crowding", "system", "Crowding and processes of the ED", 10, 0),
            )
        ],
    )


def _audits_half_yearly(con: duckdb.DuckDBPyConnection, hospitals: Sequence[str]) -> None:
    """Of each hospital 30 cases of a closed half-year, 12 with an issue; one of an open one."""
    closed, open_one = (dt.date(2024, 7, 1), True), (dt.date(2025, 1, 1), False)
    rows = []
    for place, hospital in enumerate(hospitals):
        found = (12, 9, 7, int(place == 0))
        for (period, is_closed), counts in ((closed, found), (open_one, (1, 1, 1, 0))):
            for *finding, count in (
                ("quality_issue", None, "Adverse event or quality issue", 0, counts[0]),
                ("elder_care", "patient", "Care of older patients", 2, counts[1]),
                ("handover", "team", "Handover and communication", 6, counts[2]),
                ("crowding", "system", "Crowding and processes of the ED", 10, counts[3]),
            ):
                of = 30 if finding[0] == "quality_issue" else counts[0]
                rows.append((hospital, *finding, of, count, is_closed, period))
    insert(
        con,
        "marts.rpt_ed_audits_half_yearly",
        "hospital_key varchar, finding_code varchar, theme_group_code varchar, "
        "finding_name varchar, sort_number integer, of_count bigint, found_count bigint, "
        "is_closed boolean, period_on date",
        rows,
    )


def _time_to_return(
    con: duckdb.DuckDBPyConnection, volumes: Mapping[str, int], data_through_at: dt.datetime
) -> None:
    """Days of two half-years, of which the second ends before its visits are followed for all."""
    rng = np.random.default_rng(5)
    rows: list[Any] = []
    for hospital, volume in volumes.items():
        for period, losses in ((dt.date(2024, 1, 1), 0.0), (dt.date(2024, 7, 1), 0.03)):
            waiting = int(rng.poisson(6 * volume * 0.78))
            for day in range(1, 31):
                lost = int(rng.binomial(waiting, losses))
                at_risk = waiting - lost
                ends = rng.multinomial(at_risk, [0.004 / day, 0.01 / day, 0.0, 0.0004, 1])[:4]
                rows.append((hospital, day, at_risk, *map(int, ends), lost, period))
                waiting = at_risk - int(ends.sum())
    insert(
        con,
        "marts.rpt_ed_time_to_return",
        "hospital_key varchar, day_number integer, at_risk_count bigint, "
        "admitted_returns_count bigint, other_returns_count bigint, unknown_returns_count bigint, "
        "deaths_count bigint, lost_count bigint, period_on date, data_through_at timestamp",
        [(*row, data_through_at) for row in rows],
    )


def _review_cases(hospitals: Sequence[str]) -> list[tuple[Any, ...]]:
    """Of each hospital five sampled cases of a closed quarter, two of them drawn, and two more."""
    closed, open_quarter = dt.date(2024, 10, 1), dt.date(2025, 1, 1)
    return [
        (f"{hospital}-{number}", f"{hospital}-r{number}", hospital, *case)
        for hospital in hospitals
        for number, case in enumerate(
            [
                ("sentinel", None, 2, False, True, True, open_quarter),
                *(("sample", n, 2, False, False, n <= 2, closed) for n in range(1, 6)),
                ("sample", 1, 2, False, True, False, open_quarter),
            ]
        )
    ]
