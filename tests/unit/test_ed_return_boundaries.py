"""The worked histories, step by step, against the oracle; and the files generated from them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from ops.histories import generate as generate_unit_tests
from ops.histories.worked import History, HistoryError, load_histories
from tests.oracle.ed_returns import PERSON_SCHEMA, REGISTRATION_SCHEMA, Answer, answer

HISTORIES = load_histories()


def oracle_says(history: History) -> Answer:
    registrations = pl.DataFrame(
        [
            {
                "visit_key": visit.key,
                "person_key": visit.person,
                "hospital_key": visit.hospital,
                "time_zone": visit.time_zone,
                "arrived_at": visit.arrived_at,
                "departed_at": visit.departed_at,
                "disposition_at": visit.decided_at,
                "disposition_code": visit.disposition,
                "is_planned": visit.is_planned,
                "main_diagnosis_code": None,
            }
            for visit in history.visits
        ],
        schema=REGISTRATION_SCHEMA,
    )
    people = sorted({visit.person for visit in history.visits if visit.person})
    persons = pl.DataFrame(
        {
            "person_key": people,
            "birth_on": [None for _ in people],
            "deceased_on": [history.died_on for _ in people],
        },
        schema=PERSON_SCHEMA,
    )
    return answer(registrations, persons)


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.name)
def test_steps_are_what_the_oracle_says(history: History) -> None:
    said = oracle_says(history)
    rows = {row["visit_key"]: row for row in said.registrations.iter_rows(named=True)}
    for visit in history.visits:
        row = rows[visit.key]
        assert (row["leg_key"], row["stay_key"]) == (visit.leg, visit.stay)
        assert row["exclusion_reason"] == visit.exclusion_reason
    pairs = {
        row["index_visit_key"]: (row["return_visit_key"], row["elapsed"])
        for row in said.pairs.iter_rows(named=True)
    }
    assert pairs == {
        visit.key: (
            visit.return_visit,
            None if visit.elapsed_seconds is None else timedelta(seconds=visit.elapsed_seconds),
        )
        for visit in history.visits
        if visit.exclusion_reason is None
    }


def test_names_are_unique() -> None:
    assert len({history.name for history in HISTORIES}) == len(HISTORIES)


def test_generated_files_are_up_to_date() -> None:
    result = CliRunner().invoke(generate_unit_tests.main, ["--check"])
    assert result.exit_code == 0, result.output


def test_stale_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = generate_unit_tests.generated_files()
    stale = next(iter(sorted(wanted)))
    monkeypatch.setattr(
        generate_unit_tests, "generated_files", lambda: {**wanted, stale: "something else"}
    )
    result = CliRunner().invoke(generate_unit_tests.main, ["--check"])
    assert result.exit_code == 1
    assert stale.name in result.output


def test_answer_that_contradicts_its_steps_is_refused(tmp_path: Path) -> None:
    for path in generate_unit_tests.PROJECT_ROOT.joinpath("tests", "histories").glob("*.csv"):
        text = path.read_text(encoding="utf-8")
        if path.stem == "ed_return_histories_expected":
            text = text.replace(
                "1,2025-01-01 00:00:00,,1,1,2,1a", "1,2025-01-01 00:00:00,,1,1,7,1a", 1
            )
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    with pytest.raises(HistoryError, match="History 1 "):
        load_histories(tmp_path)
