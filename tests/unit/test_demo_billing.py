"""The planted billing database: money adds up to the cent, and versions follow one another."""

from __future__ import annotations

import itertools
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from demo.network import plant_network

Row = sqlite3.Row


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network")
    plant_network(path, visits=6_000, seed=11)
    return path


@pytest.fixture(scope="module")
def db(home: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(home / "sources" / "billing.sqlite")
    connection.row_factory = sqlite3.Row
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def claims(db: sqlite3.Connection) -> dict[int, Row]:
    rows = db.execute("select * from claims where deleted_at is null")
    return {row["claim_id"]: row for row in rows}


def _answers(db: sqlite3.Connection) -> dict[int, dict[str, Decimal]]:
    """Signed sums over all advices of each claim version."""
    sums: dict[int, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    claim_of: dict[int, int] = {}
    for row in db.execute("select * from remittances where deleted_at is null"):
        claim_of[row["remittance_id"]] = row["claim_id"]
        sums[row["claim_id"]]["paid"] += Decimal(row["paid_amount"])
    for row in db.execute("select * from remittance_adjustments where deleted_at is null"):
        kind = "patient" if row["group_code"] == "PR" else "other"
        sums[claim_of[row["remittance_id"]]][kind] += Decimal(row["amount"])
    return sums


def _surviving(claims: dict[int, Row]) -> set[int]:
    gone = {row["replaces_claim_id"] for row in claims.values()}
    return {key for key, row in claims.items() if key not in gone and row["frequency_code"] != "8"}


def test_lines_add_up_to_their_claim(db: sqlite3.Connection, claims: dict[int, Row]) -> None:
    sums: dict[int, Decimal] = defaultdict(Decimal)
    for row in db.execute("select claim_id, billed_amount from claim_lines"):
        sums[row["claim_id"]] += Decimal(row["billed_amount"])
    assert {key: Decimal(row["billed_amount"]) for key, row in claims.items()} == dict(sums)


def test_answers_to_surviving_claims_balance_to_the_cent(
    db: sqlite3.Connection, claims: dict[int, Row]
) -> None:
    answers = _answers(db)
    answered = _surviving(claims) & set(answers)
    assert len(answered) > 5_000
    for key in answered:
        assert Decimal(claims[key]["billed_amount"]) == sum(answers[key].values())
    unanswered = _surviving(claims) - set(answers)
    assert len(unanswered) > 50


def test_answers_to_replaced_and_voided_claims_are_undone(
    db: sqlite3.Connection, claims: dict[int, Row]
) -> None:
    answers = _answers(db)
    undone = (set(claims) - _surviving(claims)) & set(answers)
    assert len(undone) > 100
    for key in undone:
        assert set(answers[key].values()) == {Decimal(0)}
    reversals = db.execute(
        "select count(*) from remittances where status_code = 'reversed'"
        " and cast(paid_amount as real) > 0"
    )
    assert reversals.fetchone()[0] == 0


def test_versions_of_a_claim_follow_one_another(claims: dict[int, Row]) -> None:
    chains: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(claims.values(), key=lambda row: (row["received_on"], row["claim_id"])):
        chains[row["claim_number"]].append(row)
    seen = Counter("".join(row["frequency_code"] for row in rows) for rows in chains.values())
    assert set(seen) <= {"1", "17", "18", "177", "178", "2", "24", "15"}
    assert min(seen[kind] for kind in ("1", "17", "18", "177", "178", "24", "15")) >= 1
    for rows in chains.values():
        for before, after in itertools.pairwise(rows):
            assert before["received_on"] < after["received_on"]
            replaces = before["claim_id"] if after["frequency_code"] in "78" else None
            assert after["replaces_claim_id"] == replaces
            assert after["member_id"] == before["member_id"]


def test_denials_pay_nothing_and_adjust_everything(
    db: sqlite3.Connection, claims: dict[int, Row]
) -> None:
    rows = db.execute(
        "select r.paid_amount, coalesce(l.billed_amount, c.billed_amount) as billed,"
        " group_concat(a.group_code) as groups, group_concat(a.amount) as amounts"
        " from remittances r join claims c using (claim_id)"
        " left join claim_lines l on l.claim_line_id = r.claim_line_id"
        " join remittance_adjustments a using (remittance_id)"
        " where r.status_code = 'denied' and r.deleted_at is null and a.deleted_at is null"
        " group by r.remittance_id"
    ).fetchall()
    assert len(rows) > 300
    for row in rows:
        assert Decimal(row["paid_amount"]) == 0
        assert row["groups"] == "CO"
        assert Decimal(row["amounts"]) == Decimal(row["billed"])


def test_ledger_holds_what_the_tables_come_to(
    home: Path, db: sqlite3.Connection, claims: dict[int, Row]
) -> None:
    answers, surviving = _answers(db), _surviving(claims)
    found: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 5)
    for key, row in claims.items():
        survives = key in surviving
        billed = Decimal(row["billed_amount"]) if survives else Decimal(0)
        answer = answers.get(key, {})
        values = (
            billed,
            billed if key in answers else Decimal(0),
            *(answer.get(kind, Decimal(0)) for kind in ("paid", "patient", "other")),
        )
        cell = (row["payer_id"], row["service_from_on"][:8] + "01")
        found[cell] = [total + value for total, value in zip(found[cell], values, strict=True)]
    for row in pq.read_table(home / "demo" / "expected_billing.parquet").to_pylist():
        names = ("billed", "adjudicated_billed", "paid", "patient_responsibility")
        expected = [row[f"{name}_amount"] for name in names] + [row["other_adjustment_amount"]]
        assert expected == found[row["payer_id"], row["month_on"].isoformat()]


def test_coverage_has_gaps_and_payments_fall_into_them(
    db: sqlite3.Connection, claims: dict[int, Row]
) -> None:
    spells: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for row in db.execute("select * from coverages order by member_id, starts_on"):
        spells[row["member_id"]].append((row["starts_on"], row["ends_on"] or "9999-12-31"))
    gaps = [
        (first, second) for rows in spells.values() for first, second in itertools.pairwise(rows)
    ]
    assert len(gaps) > 100
    assert all(first[1] < second[0] for first, second in gaps)
    paid = {
        row["claim_id"]
        for row in db.execute(
            "select claim_id from remittances where cast(paid_amount as real) > 0"
        )
    }
    uncovered = [
        key
        for key in paid
        if not any(
            start <= claims[key]["service_from_on"] <= end
            for start, end in spells[claims[key]["member_id"]]
        )
    ]
    assert 1 <= len(uncovered) < len(paid) / 20


def test_money_is_written_as_exact_text(db: sqlite3.Connection) -> None:
    for table, column in (("claims", "billed_amount"), ("remittance_adjustments", "amount")):
        for kind, text in db.execute(f"select typeof({column}), {column} from {table} limit 500"):
            assert kind == "text"
            assert Decimal(text).as_tuple().exponent == -2
