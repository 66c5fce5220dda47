"""Chart reviews as a hospital's team would leave them, and a second count of what they found."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from chart_audit.codes import questions
from chart_audit.store import Case, Review, opened_store
from extract.identity.tokens import Tokeniser, load_or_create_key
from governance.settings import Settings

Answers = Mapping[str, frozenset[str]]
FIRST, SECOND, THIRD = "quillfeather", "wigglesworth", "thistlewood"
COMMENT = "Ms Quillfeather 7734099112 of Elm Street"
QUARTERS = ("2025-07-01", "2025-10-01", "2026-01-01")
NO_ISSUE: Answers = {
    "quality_issue": frozenset({"no"}),
    "diagnosis_concordance": frozenset({"same"}),
}


def issue(*themes: str) -> Answers:
    """Return whole answers of a case with an issue of some causes."""
    return {
        "quality_issue": frozenset({"yes"}),
        "diagnosis_concordance": frozenset({"related"}),
        "event_type": frozenset({"diagnosis"}),
        "severity": frozenset({"mild"}),
        "preventability": frozenset({"probably"}),
        "theme": frozenset(themes),
        "action": frozenset({"feedback"}),
    }


def visit_tokens(settings: Settings, *visits: int) -> list[str]:
    """Return the tokens of ED visits under the token key in force, made if there is none yet."""
    settings.vault.mkdir(mode=0o700, exist_ok=True)
    tokeniser = Tokeniser(load_or_create_key(settings.vault, allow_create=True))
    found: list[str] = tokeniser.tokenise(pa.array(visits, pa.int64()), "ehr.ed_visit").to_pylist()
    return found


def review(
    settings: Settings,
    hospital: str,
    token: str,
    answers: Answers,
    *,
    stage: str = "first",
    quarter: str = QUARTERS[0],
    is_draft: bool = False,
    at: datetime | None = None,
) -> None:
    """Save one review of a case, at an instant or now."""
    reviewer = {"first": FIRST, "second": SECOND, "reconciled": THIRD}[stage]
    with opened_store(settings, hospital, lambda: at or datetime.now(UTC)) as store:
        store.open_case(Case(token, None, "sample", quarter), reviewer)
        written = Review(token, stage, reviewer, answers=answers, comment=COMMENT)
        if is_draft:
            store.save_draft(written)
        else:
            store.submit(written)


def review_at_random(settings: Settings, *, cases: int = 25, seed: int = 3) -> None:
    """Leave reviews of every kind in the store of each hospital of a planted network.

    Of visits that ended in a discharge, index visits or not, and of a visit of another hospital.
    """
    rng = random.Random(seed)
    with closing(sqlite3.connect(settings.home / "sources" / "ehr.sqlite")) as connection:
        rows = connection.execute(
            "select hospital_id, visit_id from ed_visits where disposition_code = 'home' "
            "and deleted_at is null and typeof(visit_id) = 'integer' order by visit_id"
        ).fetchall()
    hospitals = sorted({row[0] for row in rows if isinstance(row[0], str)})
    for place, hospital in enumerate(hospitals):
        own = rng.sample([n for name, n in rows if name == hospital], cases)
        own.append(next(n for name, n in rows if name == hospitals[place - 1]))
        for token in visit_tokens(settings, *own):
            _review_case(settings, hospital, token, rng)


def _review_case(settings: Settings, hospital: str, token: str, rng: random.Random) -> None:
    themes = list(questions()["theme"].answers)
    quarter = rng.choice(QUARTERS)
    at = datetime.fromisoformat(quarter).replace(tzinfo=UTC) + timedelta(
        days=rng.choice([150, 182, 183, 184, 200])
    )

    def save(stage: str, *, is_draft: bool = False) -> None:
        nonlocal at
        at += timedelta(days=rng.choice([0, 1, 30]), seconds=1)
        chosen = rng.sample(themes, rng.randint(1, 4))
        answers = issue(*chosen) if rng.random() < 0.4 else NO_ISSUE
        kept = {"stage": stage, "quarter": quarter, "is_draft": is_draft, "at": at}
        review(settings, hospital, token, answers, **kept)

    stages = rng.choice(["", "first", "first second", "first second reconciled"]).split()
    for stage in stages:
        save(stage)
    following = ["first", "second", "reconciled", ""][len(stages)]
    if following and (not stages or rng.random() < 0.5):
        save(following, is_draft=True)


@dataclass
class Counted:
    """What the stores say of one hospital's quarter."""

    reviewed: int = 0
    issues: int = 0
    twice: int = 0
    unknown: int = 0
    themes: Counter[str] = field(default_factory=Counter)


def counted(folder: Path, index_visits: Mapping[str, str]) -> dict[tuple[str, str], Counted]:
    """Count what stands in every store of a folder, row by row, by hospital and quarter.

    Args:
        folder: the stores.
        index_visits: the hospital of every index visit, by token.
    """
    found: dict[tuple[str, str], Counted] = {}
    for path in sorted(folder.glob("*.sqlite")):
        with closing(sqlite3.connect(path)) as connection:
            cases = dict(connection.execute("select index_visit_key, quarter_on from cases"))
            reviews = connection.execute(
                "select index_visit_key, stage_code, review_id from reviews "
                "where state_code = 'submitted'"
            ).fetchall()
            answers = connection.execute("select review_id, field_code, code from answers")
            given: dict[int, set[tuple[str, str]]] = {}
            for number, name, code in answers:
                given.setdefault(number, set()).add((name, code))
        stages: dict[str, dict[str, int]] = {}
        for token, stage, number in reviews:
            stages.setdefault(token, {})[stage] = number
        for token, own in stages.items():
            stands = given[own.get("reconciled", own["first"])]
            count = found.setdefault((path.stem, cases[token]), Counted())
            count.reviewed += 1
            count.twice += "second" in own
            count.unknown += index_visits.get(token) != path.stem
            if ("quality_issue", "yes") in stands:
                count.issues += 1
                count.themes.update(code for name, code in stands if name == "theme")
    return found


@dataclass
class HalfYear:
    """What the stores say of one hospital's cases that were first reviewed in a half-year."""

    reviewed: int = 0
    issues: int = 0
    themes: Counter[str] = field(default_factory=Counter)


def counted_by_half_year(folder: Path) -> tuple[dict[tuple[str, str], HalfYear], str]:
    """Count what stands, row by row, by hospital and half-year; and say when the last review came.

    Of second reviews nothing stands: the last review is a first or reconciled one.
    """
    found: dict[tuple[str, str], HalfYear] = {}
    last = ""
    for path in sorted(folder.glob("*.sqlite")):
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute(
                "select index_visit_key, stage_code, submitted_at, review_id from reviews "
                "where state_code = 'submitted' and stage_code <> 'second' order by stage_code"
            ).fetchall()
            answers = connection.execute("select review_id, field_code, code from answers")
            given: dict[int, set[tuple[str, str]]] = {}
            for number, name, code in answers:
                given.setdefault(number, set()).add((name, code))
        cases: dict[str, list[tuple[str, int]]] = {}
        for token, _, at, number in rows:
            cases.setdefault(token, []).append((at, number))
            last = max(last, at)
        for reviews in cases.values():
            first = reviews[0][0]
            period = f"{first[:4]}-{'01' if first[5:7] <= '06' else '07'}-01"
            count = found.setdefault((path.stem, period), HalfYear())
            stands = given[reviews[-1][1]]
            count.reviewed += 1
            if ("quality_issue", "yes") in stands:
                count.issues += 1
                count.themes.update(code for name, code in stands if name == "theme")
    return found, last
