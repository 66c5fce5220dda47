"""The ledger against what a plain count of the written database comes to."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from demo.network import plant, plant_network
from demo.plans import ontario_plan
from tests.helpers.plain_returns import Counted, Network

VISITS = 8_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network")
    plant_network(path, visits=VISITS, seed=7)
    return path


@pytest.fixture(scope="module")
def ontario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ontario")
    plant(ontario_plan(factor=0.01), path, seed=7)
    return path


def _ledger(home: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(home / "demo" / f"{name}.parquet").to_pylist()
    return rows


def _true_persons(home: Path) -> Mapping[int, str | None]:
    return {
        row["patient_id"]: None if row["person_number"] is None else str(row["person_number"])
        for row in _ledger(home, "registrations")
    }


def _assert_equal(home: Path, rule: str, measure: str, counted: Counted, kind: str) -> int:
    expected = [
        row
        for row in _ledger(home, "expected_monthly")
        if row["rule"] == rule and row["measure_code"] == measure
    ]
    assert expected
    total = 0
    for row in expected:
        cell = (row["hospital_id"], row["month_on"])
        kinds = ("ami", "sah", "paediatric_sepsis") if kind == "sentinel" else (kind,)
        hits = sum(counted.numerator[name, *cell] for name in kinds)
        assert row["numerator_count"] == hits, cell
        assert row["index_visits_count"] == counted.index[cell], cell
        assert row["all_visits_count"] == counted.everything[cell], cell
        total += hits
    cells = {(row["hospital_id"], row["month_on"]) for row in expected}
    assert set(counted.everything) <= cells
    return total


@pytest.mark.parametrize("rule", ["deterministic", "truth"])
def test_expected_counts_are_what_a_plain_count_finds(home: Path, rule: str) -> None:
    persons = _true_persons(home) if rule == "truth" else None
    network = Network(home / "sources" / "ehr.sqlite", persons)
    headline = network.count(72, admitted=True)
    assert _assert_equal(home, rule, "ed_return_72h_admitted", headline, "all") > 150
    anything = network.count(72, admitted=False)
    assert _assert_equal(home, rule, "ed_return_72h_any", anything, "all") > 300
    sentinel = network.count(168, admitted=True, sentinel=True)
    assert _assert_equal(home, rule, "ed_return_7d_sentinel", sentinel, "sentinel") >= 4
    for kind in ("ami", "sah", "paediatric_sepsis"):
        assert _assert_equal(home, rule, f"ed_return_7d_{kind}", sentinel, kind) >= 1


def test_truth_finds_pairs_that_typing_errors_hide(home: Path) -> None:
    totals = {
        (row["rule"], row["measure_code"]): row["numerator_count"]
        for row in _ledger(home, "expected_totals")
    }
    hidden = [row for row in _ledger(home, "pairs") if row["needs_fuzzy_matching"]]
    assert hidden
    assert totals["truth", "ed_return_72h_any"] > totals["deterministic", "ed_return_72h_any"]


def test_pairs_of_the_ledger_are_the_returns_of_the_database(home: Path) -> None:
    network = Network(home / "sources" / "ehr.sqlite", _true_persons(home))
    listed = {
        (row["index_visit_id"], row["return_visit_id"])
        for row in _ledger(home, "pairs")
        if row["elapsed_seconds"] <= 30 * 24 * 3600
    }
    found = {
        (leg.decider.id, back[0].visits[0].id)
        for legs in network.legs().values()
        for leg, back in network.returns(network.stays(legs))
        if back is not None and (back[0].arrived - leg.departed).days < 30
    }
    assert found == listed


def test_ontario_plants_the_published_counts_in_proportion(ontario: Path) -> None:
    plan = ontario_plan(factor=0.01)
    network = Network(ontario / "sources" / "ehr.sqlite")
    headline = network.count(72, admitted=True)
    assert sum(headline.everything.values()) == plan.visits == 32_358
    assert sum(headline.numerator.values()) == plan.numerator == 340
    complaints = Counter(index.complaint for index, _, _ in headline.pairs)
    assert complaints["abdominal_pain"] == 61
    appendicitis = [
        code for _, _, code in headline.pairs if code and code[:3] in ("K35", "K36", "K37")
    ]
    assert len(appendicitis) == 13
    assert len(network.zones) == 89


def test_ontario_sentinel_returns_are_planted_and_no_other(ontario: Path) -> None:
    network = Network(ontario / "sources" / "ehr.sqlite")
    within_three_days = network.count(72, admitted=True)
    within_a_week = network.count(168, admitted=True)
    prefixes = ("I21", "I22", "I60", "A40", "A41")
    early, late = (
        sorted(back.id for _, back, code in counted.pairs if code and code.startswith(prefixes))
        for counted in (within_three_days, within_a_week)
    )
    assert len(early) == 2 + 1 + 1
    assert early == late
    sentinel = network.count(168, admitted=True, sentinel=True)
    kinds = Counter(kind for kind, *_ in sentinel.numerator.elements())
    assert kinds == {"ami": 2, "sah": 1, "paediatric_sepsis": 1}
    assert sum(within_a_week.everything.values()) == 32_358


def test_ontario_holds_more_rows_than_visits(ontario: Path) -> None:
    with sqlite3.connect(ontario / "sources" / "ehr.sqlite") as db:
        (rows,) = db.execute("select count(*) from ed_visits where deleted_at is null").fetchone()
    assert rows > 32_358
