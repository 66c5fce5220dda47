"""The billing system's facts: members, spells of coverage, claims in all their versions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.columns import NOTHING
from demo.conditions import SEVERITY
from demo.draw import Bools, Draw, Floats, Ints
from demo.inpatient import EMERGENCY
from demo.people import DEFECTS, true_health_numbers
from demo.templates import Disposition
from demo.world import World
from demo.zones import DAY, day_number, local_days

PAYERS = (
    ("P01", "Federal Senior Plan", "public", "medicare"),
    ("P02", "State Assistance Plan", "public", "medicaid"),
    ("P03", "Harbour Health HMO", "commercial", "hmo"),
    ("P04", "Granite Mutual", "commercial", "ppo"),
    ("P05", "Self-pay", "self_pay", None),
)
SELF_PAY = 4
# Shares of the payers among children, adults and older people.
_PAYER_SHARES = (
    (0, 0.42, 0.30, 0.25, 0.03),
    (0.02, 0.20, 0.38, 0.34, 0.06),
    (0.86, 0.06, 0.03, 0.04, 0.01),
)
INSTITUTIONAL, PROFESSIONAL = 0, 1
CLAIM_TYPES = ("institutional", "professional")
# How the versions of a claim follow one another, and how often (X12 claim frequency codes).
CHAINS = (("1",), ("1", "7"), ("1", "8"), ("1", "7", "7"), ("1", "7", "8"), ("2", "4"), ("1", "5"))
_CHAIN_SHARES = (0.925, 0.040, 0.012, 0.007, 0.004, 0.0, 0.012)
_INTERIM = CHAINS.index(("2", "4"))
FREQUENCIES = ("1", "2", "4", "5", "7", "8")
REPLACES, VOIDS = FREQUENCIES.index("7"), FREQUENCIES.index("8")
_VERSIONS_MAX = 3


@dataclass(frozen=True)
class Members:
    """Members of payers, one entry each in the order of their keys."""

    person: Ints
    payer: Ints
    health_number: Ints
    born: Ints
    defect: Ints

    def __len__(self) -> int:
        return len(self.person)


@dataclass(frozen=True)
class Spells:
    """Spells of coverage; days since 1970-01-01, NOTHING for one that goes on."""

    member: Ints
    payer: Ints
    starts: Ints
    ends: Ints


@dataclass(frozen=True)
class Claims:
    """Claim versions, one entry each in the order of their keys.

    Attributes:
        chain: number of the claim that the version belongs to.
        version: 0 for the first version.
        previous: position of the version that this one replaces or voids; NOTHING for none.
        superseded: position of the version that replaces or voids this one; NOTHING for none.
        level: severity of the visit, 0 to 1.
    """

    chain: Ints
    version: Ints
    frequency: Ints
    previous: Ints
    superseded: Ints
    member: Ints
    payer: Ints
    hospital: Ints
    kind: Ints
    is_inpatient: Bools
    diagnosis: Ints
    service_from: Ints
    service_to: Ints
    received: Ints
    level: Floats

    def __len__(self) -> int:
        return len(self.chain)

    @property
    def survives(self) -> Bools:
        """Whether the version's charges stand: neither replaced, voided nor itself a void."""
        survives: Bools = (self.superseded == NOTHING) & (self.frequency != VOIDS)
        return survives


@dataclass(frozen=True)
class Events:
    """What is billed: ED visits and inpatient stays of members."""

    number: Ints
    member: Ints
    hospital: Ints
    is_inpatient: Bools
    diagnosis: Ints
    starts: Ints
    ends: Ints
    level: Floats


def plan_members(world: World) -> Members:
    """Make members of most people; their keys follow neither person nor hospital."""
    draw, plan = world.draw, world.plan
    ids = np.arange(world.people.count)
    chosen = np.flatnonzero(draw.chance("is_member", ids, 0.07 if plan.is_thin else 0.93))
    person = chosen[np.argsort(draw.uniform("member_order", chosen))]
    years = (day_number(plan.first_day) - world.people.born[person]) / 365.25
    band = np.digitize(years, [18.0, 65.0])
    payer = np.zeros(len(person), dtype=np.int64)
    for position, shares in enumerate(_PAYER_SHARES):
        part = band == position
        payer[part] = draw.choice("payer", person[part], shares)
    is_missing = draw.chance("member_number_missing", person, 0.04)
    number = np.where(is_missing, NOTHING, true_health_numbers(person))
    defect = np.where(is_missing, DEFECTS.index("health_number_missing"), 0)
    return Members(person, payer, number, world.people.born[person], defect)


def plan_spells(world: World, members: Members) -> Spells:
    """Draw coverage: mostly one spell that goes on; some with a gap, some that ended."""
    draw, plan = world.draw, world.plan
    member = np.flatnonzero(members.payer != SELF_PAY)
    person = members.person[member]
    first_day = day_number(plan.first_day)
    shape = draw.choice("coverage_shape", person, [0.76, 0.14, 0.06, 0.04])
    began = first_day - draw.between("covered_since", person, 60, 2_000)
    turn = first_day + draw.between("coverage_turn", person, 20, plan.days - 30)
    gap = draw.between("coverage_gap", person, 15, 120)
    starts = np.where(shape == 3, turn, began)  # noqa: PLR2004
    ends = np.where((shape == 1) | (shape == 2), turn, NOTHING)  # noqa: PLR2004
    again = shape == 1
    other = draw.choice("next_payer", person, [0, 0.3, 0.35, 0.35, 0])
    switches = draw.chance("switches_payer", person, 0.35) & (members.payer[member] != 0)
    next_payer = np.where(switches, other, members.payer[member])
    all_members = np.concatenate([member, member[again]])
    payer = np.concatenate([members.payer[member], next_payer[again]])
    start = np.concatenate([starts, (turn + gap)[again]])
    end = np.concatenate([ends, np.full(int(again.sum()), NOTHING)])
    order = np.lexsort((start, all_members))
    return Spells(all_members[order], payer[order], start[order], end[order])


def _events(world: World, members: Members) -> Events:
    visits, stays = world.visits, world.stays
    member_of = np.full(world.people.count, NOTHING, dtype=np.int64)
    member_of[members.person] = np.arange(len(members))
    is_open = visits.disposition == int(Disposition.OPEN)
    # An admitted visit is part of the inpatient claim.
    in_ed = np.flatnonzero(~is_open & (visits.disposition != int(Disposition.ADMITTED)))
    on_ward = np.flatnonzero(stays.discharged != NOTHING)
    ward_visit = stays.visit[on_ward]
    visit = np.concatenate([in_ed, ward_visit])
    is_inpatient = np.repeat([False, True], [len(in_ed), len(on_ward)])
    zone = world.zone_of_hospital[visits.hospital[visit]]
    through_ed = stays.kind[on_ward] == EMERGENCY
    ward_start = np.where(through_ed, visits.arrived[ward_visit], stays.admitted[on_ward])
    began = np.concatenate([visits.arrived[in_ed], ward_start])
    ended = np.concatenate([visits.effective[in_ed], stays.discharged[on_ward]])
    member = np.where(visits.is_unidentified[visit], NOTHING, member_of[visits.person[visit]])
    kept = member != NOTHING
    code = np.concatenate([world.main.of_visit[in_ed], world.main.of_stay[on_ward]])
    return Events(
        number=(2 * visits.number[visit] + is_inpatient)[kept],
        member=member[kept],
        hospital=visits.hospital[visit][kept],
        is_inpatient=is_inpatient[kept],
        diagnosis=code[kept],
        starts=local_days(world.plan.zones, zone, began)[kept],
        ends=local_days(world.plan.zones, zone, ended)[kept],
        level=SEVERITY[world.condition[visit]][kept],
    )


def plan_claims(world: World, members: Members, spells: Spells) -> Claims:
    """Bill the members' visits and stays, and correct some of the claims later."""
    draw = world.draw
    events = _events(world, members)
    facility = np.flatnonzero(draw.chance("billed/0", events.number, 0.95))
    physician = np.flatnonzero(draw.chance("billed/1", events.number, 0.5))
    event = np.concatenate([facility, physician])
    kind = np.repeat([INSTITUTIONAL, PROFESSIONAL], [len(facility), len(physician)])
    chain_number = 2 * events.number[event] + kind
    sequence = draw.choice("chain", chain_number, _CHAIN_SHARES)
    is_long = events.is_inpatient[event] & (events.ends[event] - events.starts[event] > 8)  # noqa: PLR2004
    is_interim = is_long & (kind == INSTITUTIONAL) & draw.chance("interim", chain_number, 0.2)
    sequence = np.where(is_interim, _INTERIM, sequence)
    return _versions(
        world,
        members,
        spells,
        events,
        event=event,
        kind=kind,
        chain_number=chain_number,
        sequence=sequence,
    )


def _versions(
    world: World,
    members: Members,
    spells: Spells,
    events: Events,
    *,
    event: Ints,
    kind: Ints,
    chain_number: Ints,
    sequence: Ints,
) -> Claims:
    """Lay out the versions of every claim that had been received by the snapshot."""
    draw = world.draw
    last_day = world.plan.data_through_at // DAY - 1
    frequency_of = np.full((len(CHAINS), _VERSIONS_MAX), NOTHING)
    for row, codes in enumerate(CHAINS):
        frequency_of[row, : len(codes)] = [FREQUENCIES.index(code) for code in codes]
    received = events.ends[event] + draw.between("received", chain_number, 3, 25)
    rows, versions, dates = [], [], []
    for edition in range(_VERSIONS_MAX):
        if edition:
            received = received + draw.between(f"received/{edition}", chain_number, 25, 70)
        present = (frequency_of[sequence, edition] != NOTHING) & (received <= last_day)
        rows.append(np.flatnonzero(present))
        versions.append(np.full(len(rows[-1]), edition))
        dates.append(received[present])
    chain, version, received = (np.concatenate(part) for part in (rows, versions, dates))
    order = np.lexsort((version, chain, received))
    chain, version, received = chain[order], version[order], received[order]
    frequency = frequency_of[sequence[chain], version]
    previous, superseded = _links(chain, version, frequency, len(event))
    billed = event[chain]
    member = events.member[billed]
    service = events.starts[billed]
    return Claims(
        chain=chain_number[chain],
        version=version,
        frequency=frequency,
        previous=previous,
        superseded=superseded,
        member=member,
        payer=payer_on(members, spells, member, service)[0],
        hospital=events.hospital[billed],
        kind=kind[chain],
        is_inpatient=events.is_inpatient[billed],
        diagnosis=events.diagnosis[billed],
        service_from=service,
        service_to=events.ends[billed],
        received=received,
        level=events.level[billed],
    )


def _links(chain: Ints, version: Ints, frequency: Ints, chains: int) -> tuple[Ints, Ints]:
    """Return, per version, the one it replaces or voids and the one that does so to it."""
    place = np.full((chains, _VERSIONS_MAX), NOTHING)
    place[chain, version] = np.arange(len(chain))
    replaces = (frequency == REPLACES) | (frequency == VOIDS)
    previous = np.where(replaces, place[chain, np.maximum(version - 1, 0)], NOTHING)
    superseded = np.full(len(chain), NOTHING)
    superseded[previous[replaces]] = np.flatnonzero(replaces)
    return previous, superseded


def payer_on(members: Members, spells: Spells, member: Ints, day: Ints) -> tuple[Ints, Bools]:
    """Return each member's payer on a day, and whether a spell covers it.

    Without a spell that covers the day, the claim goes to the payer the biller knows.
    """
    key = spells.member * 100_000 + spells.starts
    place = np.searchsorted(key, member * 100_000 + day, side="right") - 1
    safe = np.maximum(place, 0)
    covered = (
        (place >= 0)
        & (spells.member[safe] == member)
        & ((spells.ends[safe] == NOTHING) | (day <= spells.ends[safe]))
    )
    return np.where(covered, spells.payer[safe], members.payer[member]), covered


def member_numbers(draw: Draw, members: Members) -> Ints:
    """Return the number on each member's insurance card."""
    return draw.below("card", members.person, 90) * 10_000_000 + members.person * 3 + 11
