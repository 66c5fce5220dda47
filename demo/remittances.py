"""Claim lines, and what the payers answered: payments, adjustments, denials, reversals.

All money is whole cents. Of every advice that stands, billed = paid + patient responsibility +
other adjustments, to the cent, by construction: the contractual adjustment is what remains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.billing import INSTITUTIONAL, SELF_PAY, VOIDS, Claims, Members, Spells, payer_on
from demo.columns import NOTHING
from demo.draw import Bools, Draw, Floats, Ints
from demo.world import World
from demo.zones import DAY

PAID, DENIED, REVERSED = 0, 1, 2
STATUS_CODES = ("paid", "denied", "reversed")
GROUP_CODES = ("CO", "PR", "OA", "PI")
REASON_CODES = ("45", "16", "50", "27", "29", "1", "2", "3", "23", "94")
_LINES_MAX = 7
_ED_REVENUE = ("0450", "0250", "0300", "0320", "0636", "0410", "0730")
_WARD_REVENUE = ("0120", "0250", "0300", "0360", "0636", "0420", "0730")
REVENUE_CODES = tuple(dict.fromkeys(_ED_REVENUE + _WARD_REVENUE))
# HCPCS level II codes (public): visits and drugs. No CPT.
VISIT_CODES = ("G0380", "G0381", "G0382", "G0383", "G0384")
OTHER_CODES = ("J1885", "J2405", "J0696", "J7030", "J2270", "G0463")
PROCEDURE_CODES = VISIT_CODES + OTHER_CODES


@dataclass(frozen=True)
class Lines:
    """Claim lines in the order of their keys; amounts in cents, units in hundredths."""

    claim: Ints
    number: Ints
    revenue: Ints
    procedure: Ints
    units: Ints
    service: Ints
    billed: Ints


@dataclass(frozen=True)
class Advices:
    """Payment advices in the order of their keys; ``line`` is NOTHING for a whole claim."""

    claim: Ints
    line: Ints
    paid_on: Ints
    status: Ints
    paid: Ints


@dataclass(frozen=True)
class Adjustments:
    """Adjustments of the advices, in the order of their keys."""

    advice: Ints
    group: Ints
    reason: Ints
    amount: Ints


def plan_lines(draw: Draw, claims: Claims) -> tuple[Lines, Ints]:
    """Draw the lines of every claim version; returns them and each version's total."""
    number = claims.chain
    extra = draw.below("lines", number, 3)
    base = np.where(claims.is_inpatient, 4, 2)
    count = np.where(claims.kind == INSTITUTIONAL, base + extra, 1 + extra // 2)
    claim = np.repeat(np.arange(len(claims)), count)
    starts = np.cumsum(count) - count
    position = np.arange(len(claim)) - starts[claim]
    row = number[claim] * _LINES_MAX + position
    is_ward, is_facility = claims.is_inpatient[claim], claims.kind[claim] == INSTITUTIONAL
    nights = np.maximum(claims.service_to - claims.service_from, 1)[claim]
    is_room = is_facility & is_ward & (position == 0)
    # A void repeats the charges of the version it voids; a replacement corrects the first line.
    edition = claims.version - (claims.frequency == VOIDS)
    typical = np.where(is_facility, np.where(position == 0, 62_000, 14_000), 21_000)
    spread = np.exp(0.5 * draw.normal("line_amount", row)) * (0.6 + claims.level[claim])
    factor = np.where(is_room, 3.2 * nights, np.where(is_ward, 4.0, 1.0))
    corrected = np.where(position == 0, 1.0 + 0.08 * edition[claim], 1.0)
    billed = np.maximum(np.rint(typical * spread * factor * corrected), 100).astype(np.int64)
    table = np.array(
        [[REVENUE_CODES.index(code) for code in codes] for codes in (_ED_REVENUE, _WARD_REVENUE)]
    )
    revenue = np.where(is_facility, table[is_ward.astype(np.int64), position], NOTHING)
    lines = Lines(
        claim=claim,
        number=position + 1,
        revenue=revenue,
        procedure=_procedures(draw, row, position, claims.level[claim], is_ward),
        units=np.where(is_room, nights, draw.between("units", row, 1, 2)) * 100,
        service=claims.service_from[claim],
        billed=billed,
    )
    return lines, np.add.reduceat(billed, starts) if len(billed) else billed


def _procedures(draw: Draw, row: Ints, position: Ints, level: Floats, is_ward: Bools) -> Ints:
    visit = np.minimum((level * len(VISIT_CODES)).astype(np.int64), len(VISIT_CODES) - 1)
    other = len(VISIT_CODES) + draw.below("procedure", row, len(OTHER_CODES))
    has_code = ~is_ward & draw.chance("has_procedure", row, 0.6)
    return np.where((position == 0) & ~is_ward, visit, np.where(has_code, other, NOTHING))


@dataclass(frozen=True)
class _Targets:
    """What is adjudicated: a claim or, where the payer answers by line, each of its lines."""

    claim: Ints
    line: Ints
    billed: Ints
    row: Ints


def adjudicate(
    world: World,
    members: Members,
    spells: Spells,
    claims: Claims,
    *,
    lines: Lines,
    totals: Ints,
) -> tuple[Advices, Adjustments]:
    """Let the payers answer, and reverse the answers to versions that were replaced or voided."""
    draw = world.draw
    paid_on, is_answered = _answer_days(world, claims)
    by_line = draw.chance("by_line", claims.chain, 0.15)
    whole = np.flatnonzero(is_answered & ~by_line)
    single = np.flatnonzero((is_answered & by_line)[lines.claim])
    row_of_claim = claims.chain * 4 + claims.version
    targets = _Targets(
        claim=np.concatenate([whole, lines.claim[single]]),
        line=np.concatenate([np.full(len(whole), NOTHING), single]),
        billed=np.concatenate([totals[whole], lines.billed[single]]),
        row=np.concatenate(
            [row_of_claim[whole] * 8, row_of_claim[lines.claim[single]] * 8 + lines.number[single]]
        ),
    )
    covered = payer_on(members, spells, claims.member, claims.service_from)[1]
    status, paid, parts = _amounts(draw, claims, targets, covered)
    return _assemble(
        claims, targets, paid_on=paid_on[targets.claim], status=status, paid=paid, parts=parts
    )


def _answer_days(world: World, claims: Claims) -> tuple[Ints, Bools]:
    """Return the day of each version's answer, and whether there is one by the snapshot."""
    draw = world.draw
    row = claims.chain * 4 + claims.version
    paid_on = claims.received + draw.between("paid_on", row, 8, 40)
    last_day = world.plan.data_through_at // DAY - 1
    superseded_on = np.where(
        claims.superseded == NOTHING, last_day + 1, claims.received[claims.superseded]
    )
    never = draw.chance("never_answered", row, 0.01)
    is_answered = (claims.frequency != VOIDS) & (paid_on < superseded_on) & ~never
    return paid_on, is_answered & (paid_on <= last_day)


_Parts = list[tuple[Ints, Ints, Ints]]  # group, reason, amount of every target


def _amounts(
    draw: Draw, claims: Claims, targets: _Targets, covered: Bools
) -> tuple[Ints, Ints, _Parts]:
    row, billed = targets.row, targets.billed
    payer = claims.payer[targets.claim]
    is_self_pay = payer == SELF_PAY
    is_covered = covered[targets.claim] | is_self_pay
    denial_share = np.array([0.06, 0.09, 0.11, 0.10, 0.0])[payer]
    is_denied = draw.chance("denied", row, np.where(is_covered, denial_share, 0.75))
    ratio = np.array([0.34, 0.28, 0.46, 0.58, 1.0])[payer] + 0.06 * draw.uniform("ratio", row)
    allowed = np.floor(billed * np.minimum(ratio, 1.0)).astype(np.int64)
    kind = draw.choice("share_kind", row, [0.35, 0.25, 0.25, 0.15])
    deductible = draw.between("deductible", row, 2_500, 60_000)
    coinsurance = (allowed * draw.between("coinsurance", row, 5, 20)) // 100
    copay = draw.between("copay", row, 4, 15) * 500
    share = np.minimum(
        np.choose(kind, [np.zeros_like(copay), deductible, coinsurance, copay]), allowed
    )
    share = np.where(is_self_pay, billed, share)
    allowed = np.where(is_self_pay, billed, allowed)
    paid = np.where(is_denied, 0, allowed - share)
    rest = billed - allowed
    other = np.where(draw.chance("other_adjustment", row, 0.04), rest // 5, 0)
    zero = np.zeros_like(billed)
    denial = 1 + draw.choice("denial", row, [0.4, 0.35, 0.0, 0.25])
    denial = np.where(is_covered, denial, REASON_CODES.index("27"))
    share_reason = np.where(is_self_pay, REASON_CODES.index("1"), 4 + np.maximum(kind, 1))
    group = np.where(draw.chance("payer_initiated", row, 0.3), 3, 2)
    reason = np.where(group == 3, REASON_CODES.index("94"), REASON_CODES.index("23"))  # noqa: PLR2004
    parts = [
        (zero, np.where(is_denied, denial, 0), np.where(is_denied, billed, rest - other)),
        (zero + 1, share_reason, np.where(is_denied, 0, share)),
        (group, reason, np.where(is_denied, 0, other)),
    ]
    return np.where(is_denied, DENIED, PAID), paid, parts


def _assemble(
    claims: Claims,
    targets: _Targets,
    *,
    paid_on: Ints,
    status: Ints,
    paid: Ints,
    parts: _Parts,
) -> tuple[Advices, Adjustments]:
    """Put answers and their reversals in the order of their days, adjustments under each."""
    superseded = claims.superseded[targets.claim]
    undone = np.flatnonzero(superseded != NOTHING)
    target = np.concatenate([np.arange(len(paid)), undone])
    sign = np.concatenate([np.ones(len(paid), np.int64), np.full(len(undone), -1)])
    day = np.concatenate([paid_on, claims.received[superseded[undone]]])
    order = np.lexsort((targets.row[target], day))
    target, sign, day = target[order], sign[order], day[order]
    advices = Advices(
        claim=targets.claim[target],
        line=targets.line[target],
        paid_on=day,
        status=np.where(sign < 0, REVERSED, status[target]),
        paid=paid[target] * sign,
    )
    advice = np.concatenate([np.arange(len(target))] * len(parts))
    group = np.concatenate([part[0][target] for part in parts])
    reason = np.concatenate([part[1][target] for part in parts])
    amount = np.concatenate([part[2][target] * sign for part in parts])
    kept = np.flatnonzero(amount != 0)
    kept = kept[np.argsort(advice[kept], kind="stable")]
    return advices, Adjustments(advice[kept], group[kept], reason[kept], amount[kept])
