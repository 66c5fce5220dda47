"""Random histories of ED visits, for Hypothesis: ties, overlaps, transfers, clocks that change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import strategies as st

from tests.oracle import brute_force as slow

# The hospitals' clocks change within the ten days after each start, and months turn.
STARTS = [
    datetime(2024, 3, 8, 5, tzinfo=UTC),
    datetime(2024, 10, 31, 4, tzinfo=UTC),
    datetime(2024, 6, 1, 3, 59, 59, tzinfo=UTC),
]
ZONES = {"A": "America/Toronto", "B": "America/Winnipeg", "C": "UTC", "D": "Europe/London"}
DISPOSITIONS = ["home", "home", "home", "admitted", "transferred", "transferred", "lwbs", "died"]
# Distances that meet each other: 24 and 72 hours, to the second and one second beside it.
GRID = st.builds(
    lambda steps, beside: timedelta(hours=12 * steps, seconds=beside),
    st.integers(0, 12),
    st.sampled_from([0, 0, 0, 1, -1]),
)
LENGTH = st.builds(
    lambda hours, beside: timedelta(hours=hours, seconds=beside),
    st.sampled_from([0, 0, 12, 12, 24, 36]),
    st.sampled_from([0, 0, 1, -1]),
)


@st.composite
def registration(draw: st.DrawFn, key: str, start: datetime) -> slow.Registration:
    """One registration within six days of the start."""
    arrived = start + draw(GRID)
    hospital = draw(st.sampled_from(sorted(ZONES)))
    is_open = draw(st.integers(0, 9)) == 0
    left = None if is_open or draw(st.integers(0, 9)) == 0 else arrived + draw(LENGTH)
    decided = arrived + draw(LENGTH) if not is_open and draw(st.booleans()) else None
    return slow.Registration(
        key=key,
        person=draw(st.sampled_from(["p", "p", "p", "p", "p", "p", "q", None])),
        hospital=hospital,
        zone=ZONES[hospital],
        arrived=arrived,
        departed=left,
        decided=decided,
        disposition=None if is_open else draw(st.sampled_from([*DISPOSITIONS, None])),
        planned=draw(st.integers(0, 7)) == 0,
    )


@st.composite
def history(
    draw: st.DrawFn, gap_hours: tuple[int, ...] = (0, 24, 72, 72)
) -> list[slow.Registration]:
    """Up to ten registrations of two people and of nobody known.

    Args:
        draw: Hypothesis.
        gap_hours: gaps, to the second, of which half of the histories get one on purpose.
    """
    start = draw(st.sampled_from(STARTS))
    keys = draw(st.permutations([f"v{number}" for number in range(draw(st.integers(1, 9)))]))
    rows = [draw(registration(key, start)) for key in keys]
    # Left to chance a gap of exactly a window is rare: half of the histories get one on purpose.
    if draw(st.booleans()):
        # A visit that ended at home is the likeliest index.
        home = [row for row in rows if row.disposition == "home" and row.person]
        before = draw(st.sampled_from(home or rows))
        gap = timedelta(
            hours=draw(st.sampled_from(gap_hours)), seconds=draw(st.sampled_from([0, 1, -1]))
        )
        after = draw(registration("w", start))
        moved = before.leaves + gap - after.arrived
        rows.append(
            replace(
                after,
                person=before.person,
                arrived=after.arrived + moved,
                departed=after.departed and after.departed + moved,
                decided=after.decided and after.decided + moved,
            )
        )
    return rows


@st.composite
def limit(draw: st.DrawFn, rows: list[slow.Registration]) -> datetime:
    """Data through: long after, within the history, or at a midnight (when a day of death ends)."""
    through = min(row.arrived for row in rows) + draw(GRID)
    return draw(
        st.sampled_from(
            [through + timedelta(days=90), through, datetime(*through.timetuple()[:3], tzinfo=UTC)]
        )
    )


@dataclass(frozen=True)
class Told:
    """Registrations, and what measures ask beside them: diagnoses, ages, deaths, ward stays."""

    rows: list[slow.Registration]
    diagnoses: dict[str, str]
    stays: list[WardStay]
    born_on: date | None
    died_on: date | None
    through: datetime


@dataclass(frozen=True)
class WardStay:
    """An inpatient encounter; `visit_key` is the ED visit that led to it."""

    key: str
    person: str | None
    hospital: str
    visit_key: str | None
    kind: str | None
    admitted: datetime
    discharged: datetime | None
    diagnosis: str | None


@st.composite
def index_and_return(draw: st.DrawFn, start: datetime) -> list[slow.Registration]:
    """Sent home, and back at the limit of a window: what measures are about, and chance is not."""
    index = draw(registration("x", start))
    back = draw(registration("y", start))
    leaves = index.arrived + timedelta(hours=2)
    gap = timedelta(
        hours=draw(st.sampled_from([24, 72, 168, 720])),
        seconds=draw(st.sampled_from([0, 0, 1, -1])),
    )
    arrived = leaves + gap
    return [
        replace(
            index, person="p", departed=leaves, decided=None, disposition="home", planned=False
        ),
        replace(
            back,
            person=draw(st.sampled_from(["p", "p", "p", "q"])),
            arrived=arrived,
            departed=arrived + timedelta(hours=3),
            decided=None,
            disposition=draw(
                st.sampled_from(["admitted", "admitted", "observation", "died", "home"])
            ),
            planned=False,
        ),
    ]


DIAGNOSES = ["I214", "I222", "I609", "I609", "A419", "A400", "F329", "F329", "F1010", "R079"]


@st.composite
def ward_stay(draw: st.DrawFn, key: str, row: slow.Registration, visit_key: str | None) -> WardStay:
    """An inpatient encounter about the limits of what may follow a departure."""
    hours, beside = draw(st.sampled_from([0, 12, 24, 24, 72])), draw(st.sampled_from([0, 0, 1, -1]))
    admitted = row.leaves + timedelta(hours=hours, seconds=beside)
    kinds = ["direct", "direct", "direct", None, None, "elective", "emergency"]
    return WardStay(
        key=key,
        person=row.person,
        hospital=row.hospital,
        visit_key=visit_key,
        kind=draw(st.sampled_from(kinds)),
        admitted=admitted,
        discharged=draw(st.sampled_from([None, admitted + timedelta(hours=12), admitted])),
        diagnosis=draw(st.sampled_from([*DIAGNOSES, None])),
    )


@st.composite
def planned_and_onward(draw: st.DrawFn, row: slow.Registration) -> list[WardStay]:
    """A planned stay after a visit, and on to another ward as it ends, or a second beside."""
    stay = replace(draw(ward_stay("planned", row, None)), kind="elective")
    admitted = row.leaves + timedelta(hours=6)
    ends = admitted + timedelta(hours=12)
    beside = timedelta(seconds=draw(st.sampled_from([0, 0, 1, -1])))
    return [
        replace(stay, admitted=admitted, discharged=ends),
        replace(stay, key="onward", kind="direct", admitted=ends + beside, discharged=None),
    ]


@st.composite
def told_history(draw: st.DrawFn) -> Told:
    """A history whose gaps, ages and end of data lie about the limits of the shipped measures."""
    rows = draw(history(gap_hours=(72, 72, 168, 168, 720)))
    rows += draw(index_and_return(min(row.arrived for row in rows)))
    diagnoses = {
        row.key: draw(st.sampled_from(DIAGNOSES)) for row in rows if draw(st.integers(0, 4))
    }
    stays = [
        draw(ward_stay(f"{row.key}i{number}", row, row.key))
        for row in rows
        if row.disposition == "admitted"
        for number in range(draw(st.sampled_from([0, 1, 1, 2])))
    ]
    stays += [
        draw(ward_stay(f"i{number}", draw(st.sampled_from(rows)), None))
        for number in range(draw(st.integers(0, 3)))
    ]
    if draw(st.integers(0, 2)) == 0:
        stays += draw(planned_and_onward(rows[-2]))
    if draw(st.integers(0, 3)) == 0:  # In the very second of an arrival at an ED.
        stay = draw(ward_stay("at_once", rows[-1], None))
        stays.append(replace(stay, kind="direct", admitted=rows[-1].arrived))
    # Eighteen on the day of the last arrival, or the day after it: on that hospital's clock or not.
    day = rows[-1].arrived.date() + timedelta(days=draw(st.integers(0, 1)))
    eighteen = date(day.year - 18, day.month, day.day)
    born = draw(st.sampled_from([date(1980, 1, 1), date(2015, 1, 1), eighteen, eighteen, None]))
    if born == eighteen:  # Whom age limits are about has what they ask for.
        rows[-1] = replace(rows[-1], person="p", disposition="admitted")
        for row in rows[-2:]:
            diagnoses[row.key] = draw(st.sampled_from(["A419", "A419", "A400", "I214"]))
    last = max(row.leaves for row in rows)
    through = draw(
        st.one_of(
            st.just(last + timedelta(days=90)),
            limit(rows),
            st.builds(
                lambda row, hours, beside: row.leaves + timedelta(hours=hours, seconds=beside),
                st.sampled_from(rows),
                st.sampled_from([72, 168, 720]),
                st.sampled_from([0, 0, -1]),
            ),
        )
    )
    died = draw(st.sampled_from([None, None, None, *range(-2, 1)]))
    return Told(
        rows=rows,
        diagnoses=diagnoses,
        stays=stays,
        born_on=born,
        died_on=None if died is None else through.date() + timedelta(days=died),
        through=through,
    )
