"""Random billing books: every wart of the worked book, in combinations nobody thought of."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

Row = dict[str, Any]

FIRST_DAY = date(2023, 11, 1)
MEMBERS = 60
PAYERS = ("P1", "P2", "P3")
PRODUCTS = ("hmo", "ppo", "medicare")
WRITTEN_AT = datetime(2024, 1, 1, tzinfo=UTC)


def draw_book(seed: int, claims: int) -> dict[str, list[Row]]:
    """Billing tables with about three versions per claim; the same seed gives the same rows."""
    dice = random.Random(seed)
    book: dict[str, list[Row]] = {
        "payers": [{"payer_id": p, "payer_name": p, "payer_type_code": "public"} for p in PAYERS],
        "members": [{"member_id": n} for n in range(MEMBERS)],
        "coverages": [_spell(dice, n) for n in range(3 * MEMBERS)],
        "claims": [],
        "claim_lines": [],
        "remittances": [],
        "remittance_adjustments": [],
    }
    for number in range(claims):
        _add_claim(dice, book, number)
    return book


def _day(dice: random.Random, spread: int = 300) -> date:
    return FIRST_DAY + timedelta(days=dice.randrange(spread))


def _amount(dice: random.Random) -> Decimal:
    return Decimal(dice.randrange(1, 50000)) / 100


def _spell(dice: random.Random, number: int) -> Row:
    starts_on = _day(dice)
    ends_on = starts_on + timedelta(days=dice.randrange(-3, 120))
    return {
        "coverage_id": number,
        "member_id": dice.randrange(MEMBERS),
        "payer_id": dice.choice(PAYERS),
        "product_code": dice.choice(PRODUCTS),
        "starts_on": None if dice.random() < 0.02 else starts_on,
        "ends_on": None if dice.random() < 0.2 else ends_on,
    }


def _add_claim(dice: random.Random, book: dict[str, list[Row]], number: int) -> None:
    first = len(book["claims"])
    frequencies = "11177788" if dice.random() < 0.7 else "122345778"
    count = dice.randrange(1, 6)
    member, payer, day = dice.randrange(MEMBERS), dice.choice(PAYERS), _day(dice)
    for key in range(first, first + count):
        code = dice.choice(frequencies) if key > first or dice.random() < 0.1 else frequencies[0]
        names = dice.choice([*range(first, first + count), None, 999999, max(first - 1, 0)])
        book["claims"].append(
            {
                "claim_id": key,
                "claim_number": None if count == 1 and dice.random() < 0.1 else f"N{number}",
                "member_id": member,
                "payer_id": payer,
                "hospital_id": "H1",
                "claim_type_code": "professional",
                "frequency_code": None if dice.random() < 0.03 else code,
                # Mostly the version before, as a careful biller has it; otherwise anything.
                "replaces_claim_id": key - 1 if key > first and dice.random() < 0.6 else names,
                "service_from_on": None if dice.random() < 0.02 else day,
                "service_to_on": day + timedelta(days=dice.randrange(3)),
                "received_on": None
                if dice.random() < 0.05
                else day + timedelta(days=dice.randrange(6)),
                "billed_amount": _amount(dice),
                "created_at": WRITTEN_AT + timedelta(days=dice.randrange(3)),
            }
        )
        _add_advices(dice, book, book["claims"][-1])


def _add_advices(dice: random.Random, book: dict[str, list[Row]], version: Row) -> None:
    day = _day(dice)
    for _ in range(dice.choice((0, 1, 1, 2, 3))):
        status = dice.choice(("paid", "paid", "denied", "reversed", None))
        sign = -1 if status == "reversed" else 1
        key = len(book["remittances"])
        paid = Decimal(0) if status == "denied" else sign * _amount(dice)
        book["remittances"].append(
            {
                "remittance_id": key,
                "claim_id": version["claim_id"],
                "paid_on": None
                if dice.random() < 0.03
                else day + timedelta(days=dice.randrange(3)),
                "status_code": status,
                "paid_amount": paid,
            }
        )
        # Often exactly what is left, so that balanced claims occur.
        left = sign * version["billed_amount"] - paid
        for group in dice.sample(("CO", "PR", "OA", "PI", None), dice.randrange(3)):
            amount = left if dice.random() < 0.5 else sign * _amount(dice)
            book["remittance_adjustments"].append(
                {
                    "adjustment_id": len(book["remittance_adjustments"]),
                    "remittance_id": key,
                    "group_code": group,
                    "reason_code": "45",
                    "amount": amount,
                }
            )
