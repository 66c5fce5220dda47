"""The billing system's tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import pyarrow as pa

from demo.billing import (
    CLAIM_TYPES,
    FREQUENCIES,
    PAYERS,
    Claims,
    Members,
    Spells,
    member_numbers,
    plan_claims,
    plan_members,
    plan_spells,
)
from demo.columns import (
    NOTHING,
    ZONE_COLUMN,
    chunks,
    codes,
    days,
    decimals,
    digits,
    keys,
    staff_columns,
    stamp_columns,
    with_copies,
)
from demo.conditions import ALL_CODES
from demo.draw import Ints
from demo.ehr_tables import SEX_CODES
from demo.identity import hidden, member_names, postal_codes
from demo.ledger import tally
from demo.remittances import (
    GROUP_CODES,
    PROCEDURE_CODES,
    REASON_CODES,
    REVENUE_CODES,
    STATUS_CODES,
    Adjustments,
    Advices,
    Lines,
    adjudicate,
    plan_lines,
)
from demo.schema import MONEY, Column
from demo.world import World
from demo.zones import DAY, day_number, month_starts

FIRST_MEMBER, FIRST_SPELL, FIRST_CLAIM = 700_001, 800_001, 30_000_001
FIRST_LINE, FIRST_ADVICE, FIRST_ADJUSTMENT = 40_000_001, 50_000_001, 80_000_001
_CENTS = Column("amount", MONEY).arrow
_HUNDREDTHS = Column("units", "numeric(9,2)").arrow
_LINES_SPELT = tuple(code.replace(".", "") for code in ALL_CODES)
_NOON = 17 * 3_600


class Book:
    """Everything the billing system knows, planned once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.members: Members = plan_members(world)
        self.spells: Spells = plan_spells(world, self.members)
        self.claims: Claims = plan_claims(world, self.members, self.spells)
        self.lines, self.totals = plan_lines(world.draw, self.claims)

    @cached_property
    def answers(self) -> tuple[Advices, Adjustments]:
        """Payment advices and their adjustments."""
        return adjudicate(
            self.world,
            self.members,
            self.spells,
            self.claims,
            lines=self.lines,
            totals=self.totals,
        )

    def tables(self) -> list[tuple[str, Iterator[pa.Table]]]:
        """Return the tables in the order in which they are written."""
        makers = {
            "payers": (len(PAYERS), self._payers),
            "members": (len(self.members), self._members),
            "coverages": (len(self.spells.member), self._coverages),
            "claims": (len(self._written_claims), self._claims),
            "claim_lines": (len(self.lines.claim), self._lines),
            "remittances": (len(self._written_advices), self._advices),
            "remittance_adjustments": (len(self._written_adjustments), self._adjustments),
        }
        return [(name, _in_chunks(count, make)) for name, (count, make) in makers.items()]

    def _stamps(self, day: Ints, updated: Ints, deleted: Ints | None = None) -> dict[str, pa.Array]:
        """Return stamps at noon of a day, and the zone of the biller's clocks."""
        removed = None
        if deleted is not None:
            removed = np.where(deleted == NOTHING, NOTHING, deleted * DAY + _NOON)
        stamps = stamp_columns(
            day * DAY + _NOON, updated * DAY + _NOON, self.world.plan.snapshot_at, removed
        )
        return stamps | {ZONE_COLUMN: np.zeros(len(day), dtype=np.int64)}

    def _payers(self, rows: Ints) -> pa.Table:
        start = np.full(len(rows), day_number(self.world.plan.first_day) - 3_000)
        stamps = self._stamps(start, start)
        stamps.pop("deleted_at")
        return pa.table(
            {
                "payer_id": [PAYERS[row][0] for row in rows],
                "payer_name": [PAYERS[row][1] for row in rows],
                "payer_type_code": [PAYERS[row][2] for row in rows],
                **stamps,
                **staff_columns(self.world.draw, "payers", rows),
            }
        )

    def _members(self, rows: Ints) -> pa.Table:
        world, members = self.world, self.members
        person = members.person[rows]
        number = members.health_number[rows]
        sex = np.where(world.people.is_female[person], 0, 1)
        start = day_number(world.plan.first_day) - world.draw.between("joined", person, 5, 900)
        return pa.table(
            {
                "member_id": keys(FIRST_MEMBER + rows),
                "subscriber_number": digits(member_numbers(world.draw, members)[rows], 9, "S"),
                "health_number": hidden(digits(number, 10), number == NOTHING),
                **member_names(world, person, rows),
                "birth_date": days(members.born[rows]),
                "sex_code": codes(SEX_CODES, sex),
                "postal_code": postal_codes(world, person, person),
                **self._stamps(start, start),
                **staff_columns(world.draw, "members", rows),
            }
        )

    def _coverages(self, rows: Ints) -> pa.Table:
        spells = self.spells
        ends = spells.ends[rows]
        first = np.minimum(spells.starts[rows], self.world.plan.data_through_at // DAY - 2)
        return pa.table(
            {
                "coverage_id": keys(FIRST_SPELL + rows),
                "member_id": keys(FIRST_MEMBER + spells.member[rows]),
                "payer_id": codes([payer[0] for payer in PAYERS], spells.payer[rows]),
                "product_code": codes([payer[3] for payer in PAYERS], spells.payer[rows]),
                "starts_on": days(spells.starts[rows]),
                "ends_on": days(ends, ends == NOTHING),
                **self._stamps(first, np.maximum(first, ends)),
            }
        )

    @cached_property
    def _written_claims(self) -> Ints:
        """Claim versions, then deleted double entries of some of them."""
        number = self.claims.chain * 4 + self.claims.version
        return with_copies(self.world.draw, "claims", number, 0.002)

    @cached_property
    def _written_advices(self) -> Ints:
        """Advices, then deleted double entries of some of them."""
        count = len(self.answers[0].claim)
        return with_copies(self.world.draw, "advices", np.arange(count), 0.002)

    @cached_property
    def _written_adjustments(self) -> Ints:
        """Adjustments, then deleted double entries of some of them."""
        count = len(self.answers[1].advice)
        return with_copies(self.world.draw, "adjustments", np.arange(count), 0.002)

    def _claims(self, rows: Ints) -> pa.Table:
        claims, plan = self.claims, self.world.plan
        row = self._written_claims[rows]
        is_copy = rows >= len(claims)
        previous = claims.previous[row]
        received = claims.received[row]
        return pa.table(
            {
                "claim_id": keys(FIRST_CLAIM + rows),
                "claim_number": digits(claims.chain[row], 10, "C"),
                "member_id": keys(FIRST_MEMBER + claims.member[row]),
                "payer_id": codes([payer[0] for payer in PAYERS], claims.payer[row]),
                "hospital_id": codes([h.code for h in plan.hospitals], claims.hospital[row]),
                "billing_npi": digits(claims.hospital[row] * 104_729 + 88_001, 9, "1"),
                "claim_type_code": codes(CLAIM_TYPES, claims.kind[row]),
                "frequency_code": codes(FREQUENCIES, claims.frequency[row]),
                "replaces_claim_id": keys(FIRST_CLAIM + previous, previous == NOTHING),
                "principal_diagnosis_code": codes(_LINES_SPELT, claims.diagnosis[row]),
                "service_from_on": days(claims.service_from[row]),
                "service_to_on": days(claims.service_to[row]),
                "received_on": days(received),
                "billed_amount": decimals(self.totals[row], _CENTS),
                **self._stamps(received, received, np.where(is_copy, received + 1, NOTHING)),
                **staff_columns(self.world.draw, "claims", rows),
            }
        )

    def _lines(self, rows: Ints) -> pa.Table:
        lines: Lines = self.lines
        received = self.claims.received[lines.claim[rows]]
        return pa.table(
            {
                "claim_line_id": keys(FIRST_LINE + rows),
                "claim_id": keys(FIRST_CLAIM + lines.claim[rows]),
                "line_number": pa.array(lines.number[rows].astype(np.int32)),
                "revenue_code": codes(REVENUE_CODES, lines.revenue[rows]),
                "procedure_code": codes(PROCEDURE_CODES, lines.procedure[rows]),
                "units": decimals(lines.units[rows], _HUNDREDTHS),
                "service_on": days(lines.service[rows]),
                "billed_amount": decimals(lines.billed[rows], _CENTS),
                **self._stamps(received, received),
            }
        )

    def _advices(self, rows: Ints) -> pa.Table:
        advices = self.answers[0]
        row = self._written_advices[rows]
        line, paid_on = advices.line[row], advices.paid_on[row]
        return pa.table(
            {
                "remittance_id": keys(FIRST_ADVICE + rows),
                "claim_id": keys(FIRST_CLAIM + advices.claim[row]),
                "claim_line_id": keys(FIRST_LINE + line, line == NOTHING),
                "paid_on": days(paid_on),
                "status_code": codes(STATUS_CODES, advices.status[row]),
                "paid_amount": decimals(advices.paid[row], _CENTS),
                **self._stamps(paid_on, paid_on, np.where(rows != row, paid_on + 1, NOTHING)),
            }
        )

    def _adjustments(self, rows: Ints) -> pa.Table:
        advices, adjustments = self.answers
        row = self._written_adjustments[rows]
        paid_on = advices.paid_on[adjustments.advice[row]]
        return pa.table(
            {
                "adjustment_id": keys(FIRST_ADJUSTMENT + rows),
                "remittance_id": keys(FIRST_ADVICE + adjustments.advice[row]),
                "group_code": codes(GROUP_CODES, adjustments.group[row]),
                "reason_code": codes(REASON_CODES, adjustments.reason[row]),
                "amount": decimals(adjustments.amount[row], _CENTS),
                **self._stamps(paid_on, paid_on, np.where(rows != row, paid_on + 1, NOTHING)),
            }
        )

    def expected(self) -> pa.Table:
        """Return the current state's sums per payer and month of service, for the ledger.

        Billed is what survives voids and replacements; the rest are signed sums of all advices.
        """
        claims = self.claims
        advices, adjustments = self.answers
        months, place = np.unique(month_starts(claims.service_from), return_inverse=True)
        cell = claims.payer * len(months) + place
        size = len(PAYERS) * len(months)
        answered = np.zeros(len(claims), np.bool_)
        answered[advices.claim] = True
        is_patient = adjustments.group == GROUP_CODES.index("PR")
        adjusted = cell[advices.claim[adjustments.advice]]
        sums = {
            "billed_amount": _sum(cell[claims.survives], self.totals[claims.survives], size),
            "adjudicated_billed_amount": _sum(
                cell[claims.survives & answered], self.totals[claims.survives & answered], size
            ),
            "paid_amount": _sum(cell[advices.claim], advices.paid, size),
            "patient_responsibility_amount": _sum(
                adjusted[is_patient], adjustments.amount[is_patient], size
            ),
            "other_adjustment_amount": _sum(
                adjusted[~is_patient], adjustments.amount[~is_patient], size
            ),
        }
        kind = pa.decimal128(18, 2)
        return pa.table(
            {
                "payer_id": [PAYERS[row][0] for row in np.arange(size) // len(months)],
                "month_on": days(np.tile(months, len(PAYERS))),
                "surviving_claims_count": tally(cell, claims.survives, size),
                **{name: decimals(cents, kind) for name, cents in sums.items()},
            }
        )

    def expected_members(self) -> pa.Table:
        """Return the true person behind every member."""
        rows = np.arange(len(self.members))
        return pa.table(
            {
                "member_id": keys(FIRST_MEMBER + rows),
                "person_number": keys(self.members.person),
                "has_health_number": pa.array(self.members.health_number != NOTHING),
            }
        )


def _sum(cell: Ints, cents: Ints, size: int) -> Ints:
    """Add cents up in whole numbers; a float sum would lose them."""
    result = np.zeros(size, dtype=np.int64)
    np.add.at(result, cell, cents)
    return result


def _in_chunks(count: int, make: Callable[[Ints], pa.Table]) -> Iterator[pa.Table]:
    for part in chunks(count):
        yield make(np.arange(part.start, part.stop))
