"""Made-up chart reviews for the synthetic network, so that its audit page has something to show.

What is found in a case follows from its place in the sample, not from its token: every demo of the
same network finds the same, whatever its token key.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb

from chart_audit.codes import ISSUE, THEME, questions
from chart_audit.database import forget
from chart_audit.store import Case, Review, Store, opened_store
from governance.errors import ChartAuditError
from governance.settings import Settings
from ops.publication.worklist import WORKLIST

FIRST, SECOND = "first.reviewer", "second.reviewer"
_ISSUE_EVERY = 4
_SECOND_EVERY = 3
_DISAGREE_EVERY = 9


def plant_reviews(settings: Settings) -> int:
    """Review every hospital's cases anew, but for those of its newest quarter.

    The next snapshot brings what they found into the marts.

    Returns:
        How many cases were reviewed.

    Raises:
        ChartAuditError: the installation is a real one.
    """
    forget_reviews(settings)
    return sum(
        _review_hospital(settings, directory.name)
        for directory in sorted(settings.operational.iterdir())
    )


def forget_reviews(settings: Settings) -> None:
    """Remove the reviews that an earlier demo made up.

    Raises:
        ChartAuditError: the installation is a real one.
    """
    if not settings.is_synthetic:
        raise ChartAuditError("Nothing was made up: reviews of a real installation are people's.")
    forget(settings)


def _review_hospital(settings: Settings, hospital: str) -> int:
    file = settings.operational / hospital / "current.duckdb"
    with duckdb.connect(str(file), read_only=True) as con:
        rows = con.execute(
            "select index_visit_key, return_visit_key, reason_code, quarter_on, "
            "coalesce(sample_number, 0) + 5 * (dense_rank() over (order by quarter_on) - 1) "
            f"from own.{WORKLIST} "
            f"qualify quarter_on < max(quarter_on) over () order by all"
        ).fetchall()
    now = [datetime.now(UTC)]
    with opened_store(settings, hospital, lambda: now[0]) as store:
        for key, return_key, reason, quarter_on, number in rows:
            now[0] = _reviewed_at(quarter_on, number)
            _review(store, Case(key, return_key, reason, quarter_on.isoformat()), number)
    return len(rows)


def _reviewed_at(quarter_on: date, number: int) -> datetime:
    """Three weeks and more after the quarter's end, and never in the future."""
    midnight = datetime(quarter_on.year, quarter_on.month, 1, tzinfo=UTC)
    return min(midnight + timedelta(days=113 + number % 40, hours=9), datetime.now(UTC))


def _review(store: Store, case: Case, number: int) -> None:
    key = case.index_visit_key
    has_issue = number % _ISSUE_EVERY == 1
    store.open_case(case, FIRST)
    store.submit(Review(key, "first", FIRST, answers=_answers(number, has_issue=has_issue)))
    if number % _SECOND_EVERY == 0:
        found = has_issue != (number % _DISAGREE_EVERY == 0)
        store.submit(Review(key, "second", SECOND, answers=_answers(number, has_issue=found)))


def _answers(number: int, *, has_issue: bool) -> Mapping[str, frozenset[str]]:
    answers: dict[str, Any] = {
        ISSUE: {"yes" if has_issue else "no"},
        "diagnosis_concordance": {_nth("diagnosis_concordance", number)},
    }
    if has_issue:
        for name in ("event_type", "severity", "preventability", "action"):
            answers[name] = {_nth(name, number)}
        answers[THEME] = {_nth(THEME, number), _nth(THEME, 3 * number)}
    return {name: frozenset(codes) for name, codes in answers.items()}


def _nth(name: str, number: int) -> str:
    codes = list(questions()[name].answers)
    return codes[number % len(codes)]
