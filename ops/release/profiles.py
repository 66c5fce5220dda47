"""The named profiles of a release: read from ``dbt_project.yml``, where the models read them too.

One truth: what a profile asks for is a variable of the models. What is checked here cannot be
asked for at all: thresholds of the gate's tests stand in the tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from governance.errors import PublicationError
from governance.settings import PROJECT_ROOT

SMALLEST_CLASS = 11
SMALLEST_OUTCOME = 3
LARGEST_SHARE = 0.5
# Of the persons of a release, those whom an attack on its files may find.
LARGEST_FOUND_SHARE = 0.05
_ROUNDING = 1e-9
DIAGNOSES = ("every", "ccsr", "chapter", "none")
SHOWS = ("acuity", "area", "arrival_mode", "length_of_stay", "observation", "peer_group")
_AGREEMENT = re.compile(r"DUA-[0-9]{4}-[0-9]{3,6}")
_KEYS = frozenset(
    {
        "sample_from",
        "sample_share",
        "redrawn_share",
        "one_year",
        "shift_days",
        "maximum_stays",
        "maximum_diagnoses",
        "minimum_peer_hospitals",
        "minimum_class_size",
        "minimum_outcome_persons",
        "largest_outcome_distance",
        "largest_linked_share",
        "largest_matched_share",
        "left_out_columns",
        "levels",
    }
)


@dataclass(frozen=True)
class Profile:
    """What a release of this kind holds.

    Attributes:
        name: such as ``open``.
        sample_from: where its slice of all persons begins; no two profiles' slices meet.
        sample_share: share of all persons that its releases are drawn from.
        redrawn_share: share of these that is left out of one release and not of the next.
        shift_days: dates are moved by up to so many days either way; none are shown where it is 0.
        largest_linked_share: share of its persons whose only partner in an earlier release may be
            right; above it the release is refused.
        largest_matched_share: share of its persons whom somebody may find who knows nearly all.
        left_out_columns: columns that are not written to the files.
        parameters: all it asks for, as it stands in the file.
    """

    name: str
    sample_from: float
    sample_share: float
    redrawn_share: float
    shift_days: int
    largest_linked_share: float
    largest_matched_share: float
    left_out_columns: frozenset[str]
    parameters: dict[str, Any]

    @property
    def needs_agreement(self) -> bool:
        """Dates of persons are released: only under a data use agreement (164.514(e)(4))."""
        return self.shift_days > 0


def read_profile(name: str, project: Path | None = None) -> Profile:
    """Read a profile and refuse one that asks for less than a release must have.

    Raises:
        PublicationError: there is no such profile, or it is not one.
    """
    path = (project or PROJECT_ROOT) / "dbt_project.yml"
    known = yaml.safe_load(path.read_text(encoding="utf-8"))["vars"]["release_profiles"]
    if name not in known:
        raise PublicationError(
            f"There is no release profile {name!r}: {path.name} has {', '.join(sorted(known))}."
        )
    body: dict[str, Any] = known[name]
    faults = [*_unknown(body), *_out_of_range(body)]
    if not faults:
        faults = [*_bad_levels(body), *_meeting_slices(name, known)]
    if faults:
        raise PublicationError(
            f"The release profile {name} in {path.name} cannot be used: {'; '.join(faults)}."
        )
    return Profile(
        name=name,
        sample_from=float(body["sample_from"]),
        sample_share=float(body["sample_share"]),
        redrawn_share=float(body["redrawn_share"]),
        shift_days=int(body["shift_days"]),
        largest_linked_share=float(body["largest_linked_share"]),
        largest_matched_share=float(body["largest_matched_share"]),
        left_out_columns=frozenset(body["left_out_columns"]),
        parameters=body,
    )


def check_agreement(profile: Profile, agreement: str | None) -> None:
    """Refuse a release of dates without the agreement it is made under.

    Raises:
        PublicationError: the agreement is missing, badly written, or named where none is needed.
    """
    if agreement is not None and not _AGREEMENT.fullmatch(agreement):
        raise PublicationError(
            "A data use agreement is named like DUA-2026-0017: give its number with --agreement."
        )
    if profile.needs_agreement and agreement is None:
        raise PublicationError(
            f"The profile {profile.name} holds dates, which leave under a data use agreement only: "
            "name it with --agreement DUA-2026-0017."
        )
    if not profile.needs_agreement and agreement is not None:
        raise PublicationError(
            f"The profile {profile.name} needs no agreement: leave --agreement out, or choose "
            "--profile limited."
        )


def _unknown(body: dict[str, Any]) -> list[str]:
    faults = [f"{key} is not a parameter" for key in sorted(set(body) - _KEYS)]
    return faults + [f"{key} is missing" for key in sorted(_KEYS - set(body))]


def _out_of_range(body: dict[str, Any]) -> list[str]:
    rules: dict[str, Callable[[float], bool]] = {
        "sample_from": lambda v: 0 <= v < LARGEST_SHARE,
        "sample_share": lambda v: 0 < v <= LARGEST_SHARE,
        "redrawn_share": lambda v: 0 <= v <= LARGEST_SHARE,
        "shift_days": lambda v: v == 0 or v >= 30,  # noqa: PLR2004
        "maximum_stays": lambda v: 1 <= v <= 4,  # noqa: PLR2004
        "maximum_diagnoses": lambda v: 1 <= v <= 6,  # noqa: PLR2004
        "minimum_peer_hospitals": lambda v: v >= 3,  # noqa: PLR2004
        "minimum_class_size": lambda v: v >= SMALLEST_CLASS,
        "minimum_outcome_persons": lambda v: v >= SMALLEST_OUTCOME,
        "largest_outcome_distance": lambda v: 0 < v <= 0.5,  # noqa: PLR2004
        "largest_linked_share": lambda v: 0 <= v <= LARGEST_FOUND_SHARE,
        "largest_matched_share": lambda v: 0 <= v <= LARGEST_FOUND_SHARE,
    }
    faults = [
        f"{key} is out of its range"
        for key, holds in rules.items()
        if key in body and not holds(body[key])
    ]
    if body.get("shift_days") and body.get("one_year"):
        # Shifted days of one true calendar year tell by their ends how far they were moved.
        faults.append("shift_days and one_year do not go together")
    if not body.get("shift_days") and not body.get("one_year"):
        faults.append("one_year is needed where dates are not shifted")
    return faults


def _meeting_slices(name: str, known: dict[str, dict[str, Any]]) -> list[str]:
    """Two profiles that share persons could be joined by whoever has both."""
    slices = {
        other: (
            body.get("sample_from", 0),
            body.get("sample_from", 0) + body.get("sample_share", 1),
        )
        for other, body in known.items()
    }
    start, end = slices.pop(name)
    faults = [
        f"its slice of the persons meets that of {other}"
        for other, (other_start, other_end) in slices.items()
        if start < other_end - _ROUNDING and other_start < end - _ROUNDING
    ]
    if end > LARGEST_SHARE + _ROUNDING:
        faults.append(f"its slice goes beyond {LARGEST_SHARE} of the persons")
    return faults


def _bad_levels(body: dict[str, Any]) -> list[str]:
    faults = []
    for number, level in enumerate(body["levels"], start=1):
        good = (
            set(level) == {"stays", "diagnoses", "shows"}
            and 1 <= level["stays"] <= body["maximum_stays"]
            and level["diagnoses"] in DIAGNOSES
            and set(level["shows"]) <= set(SHOWS)
        )
        if not good:
            faults.append(f"its level {number} is not one")
    return faults or ([] if body["levels"] else ["it has no levels"])
