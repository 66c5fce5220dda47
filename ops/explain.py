"""Why one ED registration is counted where it is: its person's timeline, and the measures.

Everything is read from the warehouse as it was built; nothing is judged again here. Keys are
tokens, and no figure of a person but times, hospitals and how visits ended is shown.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from governance.errors import BuildError
from governance.settings import Settings
from ops.encryption import attach_warehouse

Row = Mapping[str, Any]

_ASKED = "select * from core.fct_ed_visits where ed_visit_key = $1"
# An unlinkable registration is its own timeline.
_TIMELINE = """
    select
        visits.ed_visit_key, visits.leg_key, visits.stay_key, visits.person_key,
        visits.hospital_key,
        visits.disposition_code, visits.is_planned, hospitals.time_zone,
        visits.arrived_at, coalesce(visits.departed_at, visits.disposition_at) as left_at,
        visits.index_exclusion_reason, steps.step_name as index_exclusion_name,
        stays.is_return_candidate,
        -- One stay has one return: what stands of it stands beside its last registration.
        returns.index_visit_key is not null as is_index,
        returns.return_visit_key, returns.elapsed_seconds,
        pairs.index_visit_key as returns_from_key, pairs.elapsed_seconds as returned_after_seconds
    from core.fct_ed_visits as visits
    inner join core.dim_hospitals as hospitals using (hospital_key)
    inner join intermediate.int_ed_stays__outcomes as stays using (stay_key)
    left join seeds.ed_return_steps as steps on visits.index_exclusion_reason = steps.step_code
    left join core.fct_ed_returns as returns on visits.ed_visit_key = returns.index_visit_key
    left join core.fct_ed_returns as pairs on visits.ed_visit_key = pairs.return_visit_key
    where visits.ed_visit_key = $1 or visits.person_key = $2
    order by visits.arrived_at nulls last, visits.ed_visit_key
"""
# Past the ED: no registration, but what a measure counts.
_ADMISSIONS = """
    select
        encounters.encounter_key, encounters.started_at as arrived_at,
        encounters.ended_at as left_at, admissions.admission_hospital_key as hospital_key,
        hospitals.time_zone, admissions.index_visit_key, admissions.elapsed_seconds
    from core.fct_ed_direct_admissions as admissions
    inner join core.fct_encounters as encounters using (encounter_key)
    inner join core.dim_hospitals as hospitals
        on admissions.admission_hospital_key = hospitals.hospital_key
    where admissions.person_key = $1
"""
_MEASURES = """
    select
        measures.measure_code,
        case
            when
                not visits.is_duplicate_registration
                and visits.leg_arrived_month_on is not null
                and (
                    coalesce(visits.follow_up_seconds >= measures.window_hours * 3600, true)
                    or not measures.requires_complete_follow_up
                )
                then visits.hospital_key || strftime(visits.leg_arrived_month_on, ' %Y-%m')
        end as visit_of,
        own.hospital_key || strftime(own.index_month_on, ' %Y-%m') as index_visit_of,
        case when own.is_counted then index_visit_of end as numerator_of,
        returned.hospital_key || strftime(returned.index_month_on, ' %Y-%m') as return_counted_of
    from seeds.ed_return_measures as measures
    inner join core.fct_ed_visits as visits on visits.ed_visit_key = $1
    left join core.fct_ed_measured_returns as own
        on measures.measure_code = own.measure_code and own.index_visit_key = $1
    left join core.fct_ed_measured_returns as returned
        on
            measures.measure_code = returned.measure_code
            and returned.return_visit_key = $1
            and returned.is_counted
    order by measures.measure_code
"""
_MEASURE_HEAD = ("measure", "all visits", "index visits", "numerator", "return counted at")


def explain(settings: Settings, ed_visit_key: str) -> Iterator[str]:
    """Say where a registration is counted, and why it is not elsewhere.

    Args:
        settings: the installation.
        ed_visit_key: the registration's token.

    Yields:
        Lines to read: the timeline of the person's registrations and direct admissions, each with
        what it is, and one line per measure.

    Raises:
        BuildError: there is no whole warehouse, or no such registration in it.
    """
    if not settings.warehouse.exists():
        raise BuildError(
            f"There is no warehouse {settings.warehouse}: run `scutari snapshot` and "
            "`scutari build` first."
        )
    try:
        with duckdb.connect() as connection:
            attach_warehouse(connection, settings)
            connection.execute("use warehouse")
            asked = next(_rows(connection, _ASKED, [ed_visit_key]), None)
            if asked is None:
                raise BuildError(
                    "The warehouse has no ED registration with this token: a rotation of tokens or "
                    "a correction may have taken it away; take tokens from core.fct_ed_visits."
                )
            person = asked["person_key"]
            timeline = list(_rows(connection, _TIMELINE, [ed_visit_key, person]))
            admissions = list(_rows(connection, _ADMISSIONS, [person]))
            measures = list(_rows(connection, _MEASURES, [ed_visit_key]))
    except duckdb.Error as error:
        # The text of a database error may quote a value.
        raise BuildError(
            f"{settings.warehouse} could not be read ({type(error).__name__}): another program "
            "may be writing it, or the last build did not end; run `scutari build`."
        ) from None
    yield from _timeline(ed_visit_key, timeline, admissions)
    yield ""
    yield from _aligned(
        [_MEASURE_HEAD, *(tuple(v or "-" for v in row.values()) for row in measures)]
    )


def _rows(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: list[str | None]
) -> Iterator[Row]:
    found = connection.execute(sql, parameters)
    names = [column[0] for column in found.description]
    return (dict(zip(names, row, strict=True)) for row in found.fetchall())


def _timeline(asked: str, registrations: Sequence[Row], admissions: Sequence[Row]) -> Iterator[str]:
    lines = [
        (
            row,
            ">" if row["ed_visit_key"] == asked else "",
            (row["disposition_code"] or "-", row["ed_visit_key"], "; ".join(_what_it_is(row))),
        )
        for row in registrations
    ]
    lines += [(row, "", ("-", row["encounter_key"], _what_it_follows(row))) for row in admissions]
    # Registrations are in order; one without an arrival stands last.
    lines.sort(key=lambda line: line[0]["arrived_at"] or dt.datetime.max)
    yield from _aligned(
        [
            ("", "arrived", "left", "hospital", "ended", "token", "what it is"),
            *((mark, *_when_and_where(row), *rest) for row, mark, rest in lines),
        ]
    )


def _when_and_where(row: Row) -> tuple[str, str, str]:
    clock = ZoneInfo(row["time_zone"])
    return _local(row["arrived_at"], clock), _local(row["left_at"], clock), row["hospital_key"]


def _what_it_follows(row: Row) -> str:
    return f"direct admission after {row['index_visit_key']}, {_span(row['elapsed_seconds'])} later"


def _what_it_is(row: Row) -> Iterator[str]:
    if row["leg_key"] != row["ed_visit_key"]:
        yield f"one visit with {row['leg_key']}"
    elif row["stay_key"] != row["leg_key"]:
        yield f"goes on from the stay {row['stay_key']}"
    if row["returns_from_key"] is not None:
        yield f"return from {row['returns_from_key']} after {_span(row['returned_after_seconds'])}"
    elif row["stay_key"] == row["ed_visit_key"] and not row["is_return_candidate"]:
        yield f"no return: {_why_no_return(row)}"
    if not row["is_index"]:
        yield f"no index visit: {row['index_exclusion_name']}"
    elif row["return_visit_key"] is None:
        yield "index visit, no return"
    else:
        yield f"index visit, back after {_span(row['elapsed_seconds'])}"


def _why_no_return(row: Row) -> str:
    # What int_ed_stays__outcomes asks of a return, in its order.
    if row["person_key"] is None:
        return "person not known"
    if row["arrived_at"] is None:
        return "arrival not known"
    return "planned" if row["is_planned"] else "left without being seen"


def _local(instant: dt.datetime | None, clock: ZoneInfo) -> str:
    if instant is None:
        return "-"
    return f"{instant.replace(tzinfo=dt.UTC).astimezone(clock):%Y-%m-%d %H:%M:%S}"


def _span(seconds: int) -> str:
    """Write a time between, as hours, minutes and seconds: windows are given in hours."""
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _aligned(table: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
