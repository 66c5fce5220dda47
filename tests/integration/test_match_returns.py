"""A merge reveals a return visit in the next build; with the unmerge it is gone again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl
import pyarrow as pa
import pytest

from extract import snapshot
from extract.identity.tokens import Tokeniser, load_or_create_key
from extract.rotation import rotate_tokens
from extract.snapshot import take_snapshot
from governance.errors import MatchError
from governance.settings import Settings
from ops.matching.decisions import decide, list_decisions, undo
from tests.helpers import lake, operational, pipeline
from tests.helpers.dbt import run_dbt

pytestmark = pytest.mark.integration

ARRIVED = datetime(2024, 6, 1, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
SISTER = {"first_name": "Beatrice", "last_name": "Kowalski", "birth_date": "1969-12-30"}


def _visit(number: int, patient: int, hours: int, disposition: str) -> operational.Row:
    at = ARRIVED + hours * HOUR
    return {
        "visit_id": number,
        "hospital_id": "AB"[patient % 2],
        "patient_id": patient,
        "arrived_at": at,
        "departed_at": at + HOUR,
        "disposition_code": disposition,
    }


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Patient 1 goes home; 24 hours later patient 2 is admitted elsewhere, under other names."""
    patients = [
        {"patient_id": 1, "hospital_id": "B", "first_name": "Rose", "last_name": "Abernathy"},
        {"patient_id": 2, "hospital_id": "A", **SISTER},
        {"patient_id": 3, "hospital_id": "B", "first_name": "Otto", "last_name": "Virtanen"},
        {"patient_id": 4, "hospital_id": "A", "identity_status_code": "unidentified"},
    ]
    visits = [_visit(1, 1, 0, "home"), _visit(2, 2, 24, "admitted"), _visit(3, 3, 90, "home")]
    home = tmp_path_factory.mktemp("merge") / "home"
    feeds = [
        {"hospital_id": code, "data_through_at": ARRIVED + timedelta(days=60)} for code in "AB"
    ]
    settings = operational.write_installation(
        home,
        {
            "ehr": {
                "hospitals": [{"hospital_id": code} for code in "AB"],
                "feeds": feeds,
                "patients": patients,
                "ed_visits": visits,
            }
        },
        matching="probabilistic",
    )
    with pytest.MonkeyPatch.context() as patch:
        # No row here has a code: the lists take longer than the night.
        lists = {"icd10cm": pa.table({"code": ["R074"]})}
        patch.setattr(snapshot, "reference_table_apart", lists.__getitem__)
        patch.setattr(snapshot, "reference_versions", dict)
        take_snapshot(settings)
        yield settings


def _tokens(settings: Settings, *patients: int) -> tuple[str, str]:
    tokeniser = Tokeniser(load_or_create_key(settings.vault, allow_create=False))
    one, other = (tokeniser.tokenise_one(number, "ehr.patient") for number in patients)
    return one, other


def _night(settings: Settings, command: str) -> tuple[int, pl.DataFrame]:
    """A snapshot in which no row has changed, and the models that returns need."""
    report = take_snapshot(settings)
    assert report.linked_partitions == report.partitions
    select = ["--select", "+fct_ed_returns", "--exclude-resource-type", "test", "unit_test"]
    if command == "run":
        select = ["--select", "stg_identity__person_map+,+fct_ed_returns"]
    run = run_dbt(settings.home, settings.home / "target", command, *select)
    assert run.exit_code == 0, run.not_green()
    found = pipeline.one_value(
        settings.warehouse, "select count(return_visit_key) from core.fct_ed_returns"
    )
    return int(found), lake.person_map(settings).sort("patient_id")


def test_a_merge_reveals_a_return_and_the_unmerge_hides_it(network: Settings) -> None:
    pair = _tokens(network, 1, 2)
    before = dict(lake.person_map(network).rows())
    assert before[pair[0]] != before[pair[1]]
    assert decide(network, "merge", pair, "same_person_confirmed").startswith("decision 1 (merge)")
    returns, merged = _night(network, "build")
    assert returns == 1
    person = dict(merged.rows())
    assert person[pair[0]] == person[pair[1]] in before.values()
    decide(network, "unmerge", (pair[1], pair[0]), "registration_error")
    returns, parted = _night(network, "run")
    assert returns == 0
    assert len(set(parted["person_key"]) - {None}) == 3
    assert person[pair[0]] in set(parted["person_key"])
    undo(network, 2, "decided_in_error")
    take_snapshot(network)
    assert lake.person_map(network).sort("patient_id").equals(merged)
    lines = list_decisions(network)
    assert [line.split("  ")[3] for line in lines] == ["merge", "unmerge", "undo"]
    assert "no longer in force" in lines[1]
    assert pair[0] in lines[0]


@pytest.mark.parametrize(
    ("patients", "sentence"),
    [((1, 4), "unidentified patient"), ((1, 99), "No registration"), ((1, 1), "the same")],
)
def test_a_merge_of_nobody_is_refused(
    network: Settings, patients: tuple[int, int], sentence: str
) -> None:
    with pytest.raises(MatchError, match=sentence):
        decide(network, "merge", _tokens(network, *patients), "same_person_confirmed")


def test_a_person_is_no_registration(network: Settings) -> None:
    person = lake.person_map(network)["person_key"].drop_nulls()[0]
    with pytest.raises(MatchError, match="not persons"):
        decide(network, "merge", (person, person), "same_person_confirmed")
    with pytest.raises(MatchError, match="20 hexadecimal digits"):
        decide(network, "merge", ("Rose Abernathy", person), "same_person_confirmed")


def test_decisions_outlive_a_rotation_of_tokens(network: Settings) -> None:
    """After the first test: patients 1 and 2 are one person, by tokens that nobody has seen."""
    before = lake.person_map(network)
    rotate_tokens(network)
    take_snapshot(network)
    after = lake.person_map(network)
    assert not set(before["patient_id"]) & set(after["patient_id"])
    assert sorted(before["person_key"].drop_nulls()) == sorted(after["person_key"].drop_nulls())
    named = list_decisions(network)[0].split("  ")[5].split()
    assert set(named) < set(after["patient_id"])
    with pytest.raises(MatchError, match="No registration of the current snapshot"):
        decide(network, "unmerge", _tokens(network, 1, 2), "registration_error")
