"""What attackers are left with, counted person by person: the slow and plain way.

Written from the definitions (docs/adr/0028), not from the models: every person is compared with
every other one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class History:
    """All that a release says of one person."""

    attributes: tuple[Any, ...]
    extras: tuple[Any, ...]
    sequence: tuple[Any, ...]
    events: tuple[Any, ...]
    outcomes: tuple[str, ...]
    codes: frozenset[str]


def read_histories(
    patients: list[Row], visits: list[Row], diagnoses: list[Row]
) -> dict[str, History]:
    """Put the three tables of a release together, person by person."""
    histories = {}
    stays, borne_by = defaultdict(list), defaultdict(list)
    for visit in visits:
        stays[visit["person_key"]].append(visit)
    for diagnosis in diagnoses:
        borne_by[diagnosis["visit_key"]].append(diagnosis)
    for patient in patients:
        key = patient["person_key"]
        own = sorted(stays[key], key=lambda v: int(v["visit_number"]))
        sequence, events = [], []
        for visit in own:
            borne = borne_by[visit["visit_key"]]
            main = tuple(d["group_code"] for d in borne if d["is_main"])
            sequence.append((visit["interval_band"], main))
            details = ("acuity_code", "arrival_mode_code", "length_of_stay_band", "peer_group_code")
            events.append(
                (
                    visit["interval_band"],
                    main,
                    frozenset(d["group_code"] for d in borne),
                    *(visit[name] for name in details),
                )
            )
        extras = ("observation_end_band", "censoring_code", "diagnoses_shown_code")
        histories[key] = History(
            tuple(patient[n] for n in ("sex_code", "age_band", "zip3", "visit_year")),
            tuple(patient[n] for n in extras),
            tuple(sequence),
            tuple(events),
            tuple(v["disposition_code"] for v in own),
            frozenset(d["group_code"] for v in own for d in borne_by[v["visit_key"]]),
        )
    return histories


def class_sizes(histories: dict[str, History]) -> dict[str, list[int]]:
    """Return for each attacker the smallest group each person is in."""
    everybody = list(histories.values())

    def alike(*names: str) -> list[int]:
        def same(a: History, b: History) -> bool:
            return all(getattr(a, name) == getattr(b, name) for name in names)

        return [sum(same(a, b) for b in everybody) for a in everybody]

    bearers = [history for history in everybody if history.codes]
    return {
        "person_attributes": alike("attributes"),
        "visit_sequence": alike("attributes", "sequence"),
        "whole_record": alike("attributes", "extras", "events"),
        "other_release": alike("attributes", "extras", "events", "outcomes"),
        "two_codes": [_worst_codes(h, everybody, lambda a, b: True) for h in bearers],
        "two_codes_and_attributes": [
            _worst_codes(h, everybody, lambda a, b: a.attributes == b.attributes) for h in bearers
        ],
        "two_events": [_worst_events(h, everybody) for h in everybody],
    }


def _worst_codes(
    history: History, everybody: list[History], fits: Callable[[History, History], bool]
) -> int:
    pairs = combinations_with_replacement(sorted(history.codes), 2)
    return min(
        sum({first, second} <= other.codes and fits(history, other) for other in everybody)
        for first, second in pairs
    )


def _known_pairs(history: History) -> Iterator[tuple[Any, ...]]:
    """Any one event, and any two in their order."""
    for place, event in enumerate(history.events):
        yield (event,)
        for later in history.events[place + 1 :]:
            yield (event, later)


def _worst_events(history: History, everybody: list[History]) -> int:
    alike = [other for other in everybody if other.attributes == history.attributes]
    return min(
        sum(known in set(_known_pairs(other)) for other in alike)
        for known in set(_known_pairs(history))
    )
