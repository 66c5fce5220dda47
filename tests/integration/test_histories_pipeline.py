"""The worked histories as operational rows, through snapshot, dbt build and publication.

The 22 of the headline measure, and those of every measure at hospitals of their own.

`data_through` is the earliest feed of a whole network, so histories of different limits live in
installations of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

import polars as pl
import pytest

from governance.errors import BuildError
from governance.settings import Settings
from ops.explain import explain
from ops.histories.measure_histories import MeasureHistory, load_measure_histories, measure_codes
from tests.helpers import histories, measure_histories, operational, pipeline
from tests.helpers.measure_histories import MARK

pytestmark = pytest.mark.integration

EXPECTED = histories.load_expected()
LIMITS = sorted({item.data_through for item in EXPECTED})
OF_MEASURES = load_measure_histories()
HEADLINE_AT_OTHERS = (
    f"measure_code = 'ed_return_72h_admitted' and not starts_with(hospital_key, '{MARK}')"
)


@dataclass(frozen=True)
class Installation:
    """One network with the histories of one follow-up limit."""

    settings: Settings
    visit_names: dict[str, str]  # token -> name of the visit in the histories
    examples: dict[str, int]  # token -> number of the history

    def visits(self, sql: str) -> pl.DataFrame:
        """Run a query whose column ``visit_key`` holds tokens; add the visit's name and history."""
        frame = pipeline.query(self.settings.warehouse, sql)
        return frame.with_columns(
            visit=pl.col("visit_key").replace_strict(self.visit_names, return_dtype=pl.String),
            example=pl.col("visit_key").replace_strict(self.examples, return_dtype=pl.Int64),
        )


def _patients(visits: pl.DataFrame) -> tuple[list[dict[str, Any]], dict[tuple[str, str], int]]:
    """A registration per person and hospital: only the health number says who is one person."""
    died = {f"p{item.example}": item.died_on for item in EXPECTED}
    pairs = visits.select("person", "hospital").unique().sort("person", "hospital").rows()
    numbers = {pair: number for number, pair in enumerate(pairs, start=1)}
    rows = [
        {
            "patient_id": number,
            "hospital_id": hospital,
            "health_number": f"HN-{person}",
            "deceased_on": died[person],
        }
        for (person, hospital), number in numbers.items()
    ]
    return rows, numbers


def _content(visits: pl.DataFrame, limit: datetime) -> tuple[operational.Content, dict[int, str]]:
    patients, numbers = _patients(visits)
    zones = dict(visits.select("hospital", "time_zone").unique().iter_rows())
    names = dict(enumerate(visits["visit"], start=1))
    rows = [
        {
            "visit_id": number,
            "hospital_id": row["hospital"],
            "patient_id": numbers[row["person"], row["hospital"]],
            "arrived_at": histories.instant(row["arrived_local"], row["time_zone"]),
            "departed_at": histories.instant(row["departed_local"], row["time_zone"]),
            "disposition_code": row["disposition"],
            "is_planned": row["is_planned"],
            "sent_by_hospital_id": row["sent_by"],
        }
        for number, row in enumerate(visits.iter_rows(named=True), start=1)
    ]
    here = set(visits["example"])
    direct = [
        {
            "hospital_id": "A",
            "patient_id": numbers[f"p{item.example}", "A"],
            "admitted_at": datetime.combine(item.admitted_directly_on, time(9), UTC),
            "discharged_at": datetime.combine(item.admitted_directly_on, time(9), UTC)
            + timedelta(days=3),
            "admission_type_code": "direct",
        }
        for item in EXPECTED
        if item.admitted_directly_on and item.example in here
    ]
    told = [history for history in OF_MEASURES if history.data_through == limit]
    of_measures, more_names = measure_histories.operational_rows(told)
    zones |= measure_histories.time_zones(told)
    ehr = of_measures | {
        "hospitals": [{"hospital_id": name, "time_zone": zone} for name, zone in zones.items()],
        "feeds": [{"hospital_id": name, "data_through_at": limit} for name in zones],
        "patients": patients + of_measures["patients"],
        "ed_visits": rows + of_measures["ed_visits"],
        "inpatient_encounters": direct + of_measures["inpatient_encounters"],
    }
    return {"ehr": ehr}, names | more_names


@pytest.fixture(scope="module")
def installations(tmp_path_factory: pytest.TempPathFactory) -> dict[datetime, Installation]:
    made = {}
    for limit in LIMITS:
        members = [item.example for item in EXPECTED if item.data_through == limit]
        visits = histories.load_visits().filter(pl.col("example").is_in(members))
        content, names = _content(visits, limit)
        home = tmp_path_factory.mktemp("histories") / "home"
        settings = operational.write_installation(home, content)
        if limit == max(LIMITS):
            pipeline.run_pipeline(settings)
        else:
            pipeline.run_models(
                settings, "fct_ed_visits", "rpt_ed_returns_monthly", "rpt_quarantine"
            )
        tokens = pipeline.raw_visit_keys(settings, names)
        example_of = dict(visits.select("visit", "example").iter_rows())
        example_of |= {
            visit.key: history.example for history in OF_MEASURES for visit in history.visits
        }
        made[limit] = Installation(
            settings=settings,
            visit_names={token: names[number] for token, number in tokens.items()},
            examples={token: example_of[names[number]] for token, number in tokens.items()},
        )
    return made


def test_every_registration_arrives(installations: dict[datetime, Installation]) -> None:
    seen = [
        installation.visits("select ed_visit_key as visit_key from core.fct_ed_visits")["visit"]
        for installation in installations.values()
    ]
    more = [visit.key for history in OF_MEASURES for visit in history.visits]
    assert sorted(pl.concat(seen)) == sorted([*histories.load_visits()["visit"], *more])


def test_no_value_of_a_history_is_refused(installations: dict[datetime, Installation]) -> None:
    for installation in installations.values():
        refused = pipeline.query(
            installation.settings.warehouse, "select * from quality.rpt_quarantine"
        )
        assert refused.is_empty(), refused


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda item: str(item.example))
def test_index_visits_and_numerator(
    installations: dict[datetime, Installation], expected: histories.Expected
) -> None:
    pairs = (
        installations[expected.data_through]
        .visits("select *, index_visit_key as visit_key from core.fct_ed_returns")
        .filter(pl.col("example") == expected.example)
        .filter("has_complete_follow_up", "is_outcome_known")
    )
    counted = pairs.filter(
        pl.col("is_return_admitted").fill_null(False), pl.col("elapsed_seconds") <= 72 * 3600
    )
    assert len(pairs) == expected.index_visits, expected.why
    assert len(counted) == expected.numerator, expected.why
    wanted = [expected.attributed_visit] if expected.attributed_visit else []
    assert counted["visit"].to_list() == wanted, expected.why


def test_monthly_mart_adds_up_to_the_histories(
    installations: dict[datetime, Installation],
) -> None:
    """The mart knows no person: its cells must be the sums of the histories' answers."""
    for limit, installation in installations.items():
        totals = pipeline.query(
            installation.settings.warehouse,
            f"""
            select
                sum(numerator_count) as numerator_count,
                sum(index_visits_count) as index_visits_count,
                sum(all_visits_count) as all_visits_count
            from marts.rpt_ed_returns_monthly
            where {HEADLINE_AT_OTHERS}
            """,
        )
        mine = [item for item in EXPECTED if item.data_through == limit]
        assert [int(value) for value in totals.row(0)] == [
            sum(item.numerator for item in mine),
            sum(item.index_visits for item in mine),
            sum(item.all_visits for item in mine),
        ]


def test_cells_by_hospital_and_month(installations: dict[datetime, Installation]) -> None:
    """Numerators where the histories put them: the hospital that sent home, the local month."""
    rows = pipeline.query(
        installations[max(LIMITS)].settings.warehouse,
        f"""
        select hospital_key, strftime(month_on, '%Y-%m') as month, numerator_count
        from marts.rpt_ed_returns_monthly
        where {HEADLINE_AT_OTHERS} and numerator_count > 0
        """,
    ).rows()
    # 1a 4a 6b 7a 8a 9a 11a at A in June, 19a in March, 22a in May; 10b at B; 21a at W.
    assert sorted(rows) == [
        ("A", "2024-03", 1),
        ("A", "2024-05", 1),
        ("A", "2024-06", 7),
        ("B", "2024-06", 1),
        ("W", "2024-05", 1),
    ]


def _judged(
    installation: Installation, history: MeasureHistory, *, of_attendances: bool
) -> dict[tuple[str, str], bool]:
    """Whether each measure counts each visit of a history that is in its denominator."""
    judged = installation.visits(
        "select index_visit_key as visit_key, measure_code, is_counted "
        "from core.fct_ed_measured_returns "
        f"where (pairing_code = 'after_attendance') = {of_attendances}"
    ).filter(pl.col("example") == history.example)
    return {
        (visit, code): is_counted
        for visit, code, is_counted in judged.select(
            "visit", "measure_code", "is_counted"
        ).iter_rows()
    }


@pytest.mark.parametrize("history", OF_MEASURES, ids=lambda history: str(history.example))
def test_every_measure_counts_what_it_should(
    installations: dict[datetime, Installation], history: MeasureHistory
) -> None:
    assert _judged(installations[history.data_through], history, of_attendances=False) == {
        (answer.index_visit.key, code): code in answer.counted_in
        for answer in history.answers
        for code in measure_codes()
        if code not in answer.left_out_of
    }, history.why


@pytest.mark.parametrize(
    "history",
    [history for history in OF_MEASURES if history.attendances],
    ids=lambda history: str(history.example),
)
def test_every_attendance_counts_what_it_should(
    installations: dict[datetime, Installation], history: MeasureHistory
) -> None:
    assert _judged(installations[history.data_through], history, of_attendances=True) == {
        (told.visit.key, code): told.is_counted
        for told in history.attendances
        for code in measure_codes(of_attendances=True)
        if told.is_counted is not None
    }, history.why


def test_monthly_counts_of_every_measure(installations: dict[datetime, Installation]) -> None:
    """The cells of the mart, measure by measure, are the sums of the hand-derived answers."""
    for limit, installation in installations.items():
        wanted: dict[tuple[str, str, str], tuple[int, int]] = {}
        for history in OF_MEASURES:
            for answer in history.answers if history.data_through == limit else ():
                for code in set(measure_codes()) - answer.left_out_of:
                    visit = answer.index_visit
                    cell = (MARK + visit.hospital, visit.arrived_local[:7], code)
                    counted, index = wanted.get(cell, (0, 0))
                    wanted[cell] = (counted + (code in answer.counted_in), index + 1)
        rows = pipeline.query(
            installation.settings.warehouse,
            f"""
            select
                hospital_key, strftime(month_on, '%Y-%m') as month, measure_code,
                cast(numerator_count as int), cast(index_visits_count as int)
            from marts.rpt_ed_returns_monthly
            where
                starts_with(hospital_key, '{MARK}')
                and index_visits_count > 0
                and measure_code in ({", ".join(f"'{code}'" for code in measure_codes())})
            """,
        ).rows()
        assert {row[:3]: row[3:] for row in rows} == wanted


def test_the_published_file_hides_these_small_cells(
    installations: dict[datetime, Installation],
) -> None:
    """Every cell of so few people is below eleven: no reader of the network file may see one."""
    installation = installations[max(LIMITS)]
    current = installation.settings.published / "current.duckdb"
    rows = pipeline.query(
        current,
        """
        select is_suppressed, numerator_count
        from rpt_ed_returns_monthly
        where measure_code = 'ed_return_72h_admitted'
        """,
    )
    shown = rows.filter(pl.col("numerator_count").is_not_null())
    assert not rows.is_empty()
    assert rows["is_suppressed"].any()
    assert not shown["numerator_count"].is_between(1, 10).any()


def _explained(installation: Installation, visit: str) -> list[list[str]]:
    """What is said of a registration, cell by cell, with names of the histories for tokens."""
    names = installation.visit_names
    token = next(token for token, name in names.items() if name == visit)
    text = "\n".join(explain(installation.settings, token))
    for token, name in names.items():
        text = text.replace(token, name)
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]


def test_a_registration_explains_itself(installations: dict[datetime, Installation]) -> None:
    """History 10: A sends to B, B sends home, the person comes back to A 42 hours later."""
    told = _explained(installations[max(LIMITS)], "10b")
    on_to = "no index visit: Went on to another hospital of the network"
    stay = "goes on from the stay 10a; index visit, back after 42:00:00"
    back = "return from 10b after 42:00:00; no index visit: Admitted to hospital"
    assert told[1:5] == [
        ["2024-06-01 08:00:00", "2024-06-01 10:00:00", "A", "transferred", "10a", on_to],
        [">", "2024-06-01 11:00:00", "2024-06-01 15:00:00", "B", "home", "10b", stay],
        ["2024-06-03 09:00:00", "2024-06-03 15:00:00", "A", "admitted", "10c", back],
        [""],
    ]
    measures = {line[0]: line[1:] for line in told[6:]}
    june = "B 2024-06"
    assert measures["ed_return_72h_admitted"] == [june, june, june, "-"]
    assert measures["ed_return_7d_sentinel"] == [june, june, "-", "-"]


@pytest.mark.parametrize(
    ("visit", "row", "ended", "what_it_is"),
    [
        # Seen before the first of the two had ended: one visit, of which the last word is 5b's.
        ("5a", 1, "home", ["no index visit: Double registrations of one visit"]),
        ("5a", 2, "admitted", ["one visit with 5a", "no index visit: Admitted to hospital"]),
        (
            "7c",
            2,
            "lwbs",
            ["no return: left without being seen", "no index visit: Left without being seen"],
        ),
        ("7c", 1, "home", ["index visit, back after 45:00:00"]),
        ("8a", 2, "home", ["no return: planned", "no index visit: Planned visit"]),
        ("13a", 1, "home", ["index visit, no return"]),
    ],
)
def test_what_stands_beside_a_registration(
    installations: dict[datetime, Installation],
    visit: str,
    row: int,
    ended: str,
    what_it_is: list[str],
) -> None:
    cells = _explained(installations[max(LIMITS)], visit)[row]
    assert cells[-3] == ended
    assert cells[-1].split("; ") == what_it_is


def test_a_direct_admission_stands_on_the_timeline(
    installations: dict[datetime, Installation],
) -> None:
    """History 251: sent home by A at noon, admitted to a ward of B at eight the next morning."""
    told = _explained(installations[max(LIMITS)], "251a")
    ward = told[2]
    assert ward[:4] == ["2024-06-02 08:00:00", "2024-06-05 10:00:00", f"{MARK}B", "-"]
    assert ward[5] == "direct admission after 251a, 20:00:00 later"
    measures = {line[0]: line[1:] for line in told}
    assert measures["ed_return_72h_direct_admission"] == [f"{MARK}A 2024-06"] * 3 + ["-"]


def test_a_return_names_who_counts_it(installations: dict[datetime, Installation]) -> None:
    """10c is at A in June; as a return it counts for B, which sent the person home."""
    told = _explained(installations[max(LIMITS)], "10c")
    measures = {line[0]: line[1:] for line in told if line[0].startswith("ed_return_")}
    assert measures["ed_return_72h_admitted"] == ["A 2024-06", "-", "-", "B 2024-06"]


def test_a_token_that_is_none_is_refused(installations: dict[datetime, Installation]) -> None:
    with pytest.raises(BuildError, match="no ED registration with this token"):
        list(explain(installations[max(LIMITS)].settings, "a' or 1=1"))
