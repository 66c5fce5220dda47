"""Episodes: the histories that are planted, and what each of them means for the counting rules.

An episode is what happens to one person within a few days. Episodes of one person lie more than 30
days apart, so that a return exists only where a template says so. Each template states, step by
step, which registrations make one leg and one stay, and which stay is the return of which step:
the ledger is read from here, never counted from the generated rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Disposition(IntEnum):
    """ED dispositions, in the order of their codes; MIX is drawn, OPEN is none yet."""

    HOME = 0
    ADMITTED = 1
    TRANSFERRED = 2
    LWBS = 3
    AMA = 4
    DIED = 5
    OBSERVATION = 6
    OTHER = 7
    OPEN = 8
    MIX = 9


DISPOSITION_CODES = (
    "home",
    "admitted",
    "transferred",
    "lwbs",
    "ama",
    "died",
    "observation",
    "other",
    None,
)


class After(IntEnum):
    """How a step's arrival follows from what came before."""

    START = 0
    RETURN = 1  # up to exactly 72 h after the anchor's departure
    LATE = 2  # from one second past 72 h to 160 h
    BETWEEN = 3  # a few hours after, before the return
    TRANSFER = 4  # on the road for an hour or two
    OVERLAP = 5  # before the anchor's departure
    TOUCH = 6  # in the second of the anchor's departure


@dataclass(frozen=True)
class Step:
    """One ED registration of an episode."""

    disposition: Disposition
    leg: int
    stay: int
    slot: int = 0
    after: After = After.START
    anchor: int = 0
    is_planned: bool = False
    sent_by: int | None = None  # step that sent the patient; -1: a hospital outside the network


@dataclass(frozen=True)
class Template:
    """One kind of episode.

    Attributes:
        name: the kind.
        steps: its registrations in order of arrival.
        returns: for a step that sends the patient home, the stay that is its return.
        has_numerator: whether exactly one index visit returns within 72 h and is admitted.
        is_simple_pair: index and return are one registration each: the pair may be planted across
            two records of a person that only fuzzy matching can join.
    """

    name: str
    steps: tuple[Step, ...]
    returns: tuple[tuple[int, int], ...] = ()
    has_numerator: bool = False
    is_simple_pair: bool = False

    @property
    def legs_count(self) -> int:
        """Legs after double registrations are joined."""
        return 1 + max(step.leg for step in self.steps)

    @property
    def slots(self) -> frozenset[int]:
        """Which of a person's hospitals the episode touches."""
        return frozenset(step.slot for step in self.steps)


_HOME, _ADM, _TRANS = Disposition.HOME, Disposition.ADMITTED, Disposition.TRANSFERRED
_LWBS, _OBS, _DIED = Disposition.LWBS, Disposition.OBSERVATION, Disposition.DIED
_FIRST = Step(_HOME, 0, 0)


def _pair(
    name: str,
    outcome: Disposition,
    *,
    slot: int = 0,
    after: After = After.RETURN,
    numerator: bool = False,
    sent_by: int | None = None,
) -> Template:
    second = Step(outcome, 1, 1, slot=slot, after=after, sent_by=sent_by)
    return Template(name, (_FIRST, second), ((0, 1),), numerator, is_simple_pair=True)


def _between(name: str, middle: Step) -> Template:
    last = Step(_ADM, 2, 2, after=After.RETURN)
    return Template(name, (_FIRST, middle, last), ((0, 2),), has_numerator=True)


TEMPLATES: tuple[Template, ...] = (
    Template("single", (Step(Disposition.MIX, 0, 0),)),
    _pair("return_admitted", _ADM, numerator=True),
    _pair("return_admitted_elsewhere", _ADM, slot=1, numerator=True),
    _pair("return_sent_from_outside", _ADM, slot=1, numerator=True, sent_by=-1),
    _between("return_after_lwbs", Step(_LWBS, 1, 1, after=After.BETWEEN)),
    _between("return_after_planned", Step(_HOME, 1, 1, after=After.BETWEEN, is_planned=True)),
    Template(
        "return_of_a_return",
        (
            _FIRST,
            Step(_HOME, 1, 1, after=After.RETURN),
            Step(_ADM, 2, 2, after=After.RETURN, anchor=1),
        ),
        ((0, 1), (1, 2)),
        has_numerator=True,
    ),
    Template(
        "return_transferred_on",
        (
            _FIRST,
            Step(_TRANS, 1, 1, slot=1, after=After.RETURN),
            Step(_ADM, 2, 1, slot=2, after=After.TRANSFER, anchor=1, sent_by=1),
        ),
        ((0, 1),),
        has_numerator=True,
    ),
    Template(
        "index_after_transfer",
        (
            Step(_TRANS, 0, 0),
            Step(_HOME, 1, 0, slot=1, after=After.TRANSFER, sent_by=0),
            Step(_ADM, 2, 1, after=After.RETURN, anchor=1),
        ),
        ((1, 1),),
        has_numerator=True,
    ),
    Template(
        "index_registered_twice",
        (
            _FIRST,
            Step(_HOME, 0, 0, after=After.OVERLAP),
            Step(_ADM, 1, 1, after=After.RETURN, anchor=1),
        ),
        ((1, 1),),
        has_numerator=True,
    ),
    # Two indexes would share the return: the one that departed last keeps it.
    Template(
        "index_at_two_hospitals",
        (
            _FIRST,
            Step(_HOME, 1, 1, slot=1, after=After.OVERLAP),
            Step(_ADM, 2, 2, after=After.RETURN, anchor=1),
        ),
        ((1, 2),),
        has_numerator=True,
    ),
    _pair("return_home", _HOME),
    _pair("return_home_elsewhere", _HOME, slot=1),
    _pair("return_observed", _OBS),
    _pair("return_died", _DIED),
    _pair("late_return_admitted", _ADM, after=After.LATE),
    _pair("late_return_home", _HOME, after=After.LATE),
    _pair("return_never_closed", Disposition.OPEN),
    Template("planned_recheck", (_FIRST, Step(_HOME, 1, 1, after=After.RETURN, is_planned=True))),
    Template(
        "transfer_admitted",
        (
            Step(_TRANS, 0, 0),
            Step(_ADM, 1, 0, slot=1, after=After.TRANSFER, sent_by=0),
        ),
    ),
    Template(
        "transfer_home",
        (
            Step(_TRANS, 0, 0),
            Step(_HOME, 1, 0, slot=1, after=After.TRANSFER, sent_by=0),
        ),
    ),
    Template("double_registration", (_FIRST, Step(_ADM, 0, 0, after=After.OVERLAP))),
    Template("touching_registration", (_FIRST, Step(_HOME, 0, 0, after=After.TOUCH))),
    Template("lwbs_then_admitted", (Step(_LWBS, 0, 0), Step(_ADM, 1, 1, after=After.RETURN))),
)

NUMBER_OF = {template.name: number for number, template in enumerate(TEMPLATES)}
STEPS_MAX = max(len(template.steps) for template in TEMPLATES)
