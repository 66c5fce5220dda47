"""A hospital's chart reviews, in SQLite or PostgreSQL: saved whole, or not at all.

Every change is one transaction that takes the hospital's write lock at its beginning and is on the
disk when it ends. Whoever saves says which version they had read: a review that somebody saved
meanwhile is not overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from chart_audit.codes import ISSUE, THEME, questions
from chart_audit.database import Database, open_database
from chart_audit.rules import (
    DRAFT,
    STAGES,
    SUBMITTED,
    missing,
    require_known,
    require_reviewer,
    require_turn,
)
from chart_audit.schema import ROWS
from governance.errors import ChartAuditError
from governance.settings import Settings

_SEPARATOR = " "


@dataclass(frozen=True)
class Case:
    """One index-return pair of the worklist, by token."""

    index_visit_key: str
    return_visit_key: str | None
    reason_code: str
    quarter_on: str


@dataclass(frozen=True)
class Review:
    """One review of a case as it was last saved; version 0 where nothing was."""

    index_visit_key: str
    stage_code: str
    reviewer: str
    state_code: str = DRAFT
    version: int = 0
    answers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    comment: str = ""


@dataclass(frozen=True)
class Edit:
    """One changed answer; of a comment only that it changed, its texts stay beside the review."""

    stage_code: str
    version: int
    edited_at: str
    editor: str
    field_code: str
    before: frozenset[str]
    after: frozenset[str]


@dataclass(frozen=True)
class Findings:
    """What the reviews of a quarter's cases say, in whole counts: a hospital's own.

    Of each case the reconciled review counts, or the first one where there is none.
    """

    reviewed_count: int = 0
    issue_count: int = 0
    theme_counts: Mapping[str, int] = field(default_factory=dict)


@contextmanager
def opened_store(
    settings: Settings, hospital: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Iterator[Store]:
    """Open a hospital's store, and make it at its first use.

    Args:
        settings: the installation.
        hospital: its key.
        clock: what is saved when, UTC; another one is for made-up reviews.

    Raises:
        ChartAuditError: others may read the file, it is of another version or cannot be opened.
    """
    with open_database(settings, hospital) as database:
        yield Store(database, hospital, clock)


class Store:
    """The reviews of one hospital."""

    def __init__(self, database: Database, hospital: str, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._hospital = hospital
        self._clock = clock
        self._complete_codes()

    def open_case(self, case: Case, reviewer: str) -> None:
        """Note that a case is being reviewed; a case that is open already stays as it was."""
        require_reviewer(reviewer)
        with self._database.transaction():
            self._database.execute(
                "insert into cases values (?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
                (
                    case.index_visit_key,
                    case.return_visit_key,
                    self._hospital,
                    case.reason_code,
                    case.quarter_on,
                    reviewer,
                    self._now(),
                ),
            )

    def cases(self) -> list[Case]:
        """Return every case that somebody opened."""
        rows = self._query(
            "select index_visit_key, return_visit_key, reason_code, quarter_on from cases "
            "order by index_visit_key"
        )
        return [Case(*row) for row in rows]

    def states(self) -> dict[str, dict[str, tuple[str, str]]]:
        """Return reviewer and state of every review, by case and stage."""
        with self._database.snapshot():
            return self._states()

    def read(self, index_visit_key: str, stage: str, reviewer: str) -> Review:
        """Return a review, or an empty one where nothing was saved.

        Raises:
            ChartAuditError: it is not its turn, or it is somebody else's.
        """
        require_reviewer(reviewer)
        with self._database.snapshot():
            require_turn(stage, reviewer, self._states().get(index_visit_key, {}))
            return self._read(index_visit_key, stage) or Review(index_visit_key, stage, reviewer)

    def save_draft(self, review: Review) -> Review:
        """Save what a reviewer has so far; return it with its new version.

        Args:
            review: with the version that was read.

        Raises:
            ChartAuditError: it is not its turn, it is submitted, somebody else saved it
                meanwhile, or an answer is on no list.
        """
        return self._save(review, DRAFT)

    def submit(self, review: Review) -> Review:
        """Save a review for good.

        Raises:
            ChartAuditError: as for a draft, or something is not answered.
        """
        faults = missing(review.answers)
        if faults:
            raise ChartAuditError(f"The review cannot be submitted yet: {'; '.join(faults)}.")
        return self._save(review, SUBMITTED)

    def history(self, index_visit_key: str) -> list[Edit]:
        """Return every change of a case's reviews, the first one first."""
        rows = self._query(
            "select reviews.stage_code, edits.version, edited_at, editor, field_code, "
            "before_codes, after_codes from edits join reviews using (review_id) "
            "where index_visit_key = ? order by edit_id",
            (index_visit_key,),
        )
        return [
            Edit(stage, version, at, editor, field_code, _codes(before), _codes(after))
            for stage, version, at, editor, field_code, before, after in rows
        ]

    def submitted_answers(self, index_visit_key: str) -> dict[str, Mapping[str, frozenset[str]]]:
        """Return the answers of a case's submitted reviews, by stage."""
        with self._database.snapshot():
            reviews = [self._read(index_visit_key, stage) for stage in STAGES]
        return {r.stage_code: r.answers for r in reviews if r and r.state_code == SUBMITTED}

    def at_one_state(self, *queries: str) -> list[list[tuple[Any, ...]]]:
        """Return the rows of several queries, all of one state of the store."""
        with self._database.snapshot():
            return [self._database.execute(query) for query in queries]

    def findings(self, quarter_on: str) -> Findings:
        """Count the findings of the cases of a quarter, by the first day of it."""
        rows = self._query(
            "select field_code, code, count(*) from reviews "
            "join cases using (index_visit_key) join answers using (review_id) "
            "where quarter_on = ? and state_code = 'submitted' and (stage_code = 'reconciled' "
            "or stage_code = 'first' and not exists (select 1 from reviews as later "
            "where later.index_visit_key = reviews.index_visit_key "
            "and later.stage_code = 'reconciled' and later.state_code = 'submitted')) "
            "group by field_code, code",
            (quarter_on,),
        )
        counts = {(field_code, code): count for field_code, code, count in rows}
        issues = counts.get((ISSUE, "yes"), 0)
        return Findings(
            issues + counts.get((ISSUE, "no"), 0),
            issues,
            {code: count for (name, code), count in counts.items() if name == THEME},
        )

    def rated_pairs(self, field_code: str) -> list[tuple[str, str]]:
        """Return what first and second reviewer answered to a question with one answer.

        Of each case whose first two reviews are submitted and both answer it.
        """
        return self._query(
            "select one.code, two.code from reviews as first "
            "join reviews as second using (index_visit_key) "
            "join answers as one on one.review_id = first.review_id "
            "join answers as two on two.review_id = second.review_id "
            "and two.field_code = one.field_code "
            "where first.stage_code = 'first' and second.stage_code = 'second' "
            "and first.state_code = 'submitted' and second.state_code = 'submitted' "
            "and one.field_code = ? and one.is_many = 0 order by 1, 2",
            (field_code,),
        )

    def remove_case(self, index_visit_key: str) -> int:
        """Take a case and its reviews out for good: answers, comments and history.

        For a person who was erased, and nothing else.

        Returns:
            How many reviews it had.

        Raises:
            ChartAuditError: no such case was ever opened.
        """
        place = (index_visit_key,)
        reviews = "select review_id from reviews where index_visit_key = ?"
        with self._database.transaction():
            if not self._database.execute("select 1 from cases where index_visit_key = ?", place):
                raise ChartAuditError("No review of that case was ever begun: see its token.")
            count = len(self._database.execute(reviews, place))
            with self._database.removing():
                for table in ROWS:
                    named = table in ("reviews", "cases")
                    which = "index_visit_key = ?" if named else f"review_id in ({reviews})"
                    self._database.execute(f"delete from {table} where {which}", place)
        return count

    def wipe(self) -> None:
        """Leave nothing of removed cases in the database's own files.

        Raises:
            ChartAuditError: the database refuses; the cases stay removed.
        """
        self._database.wipe()

    def _save(self, review: Review, state: str) -> Review:
        require_reviewer(review.reviewer)
        require_known(review.answers, review.comment)
        with self._database.transaction():
            others = self._states().get(review.index_visit_key, {})
            require_turn(review.stage_code, review.reviewer, others)
            before = self._read(review.index_visit_key, review.stage_code)
            before = before or Review(review.index_visit_key, review.stage_code, review.reviewer)
            if before.state_code == SUBMITTED:
                raise ChartAuditError("This review is submitted and does not change any more.")
            if before.version != review.version:
                raise ChartAuditError(
                    "This review was saved meanwhile, in another window perhaps: open it again "
                    "and make your changes there; nothing of it was overwritten."
                )
            self._write(before, review, state)
        return replace(review, version=before.version + 1, state_code=state)

    def _write(self, before: Review, review: Review, state: str) -> None:
        now, version = self._now(), before.version + 1
        place = (review.index_visit_key, review.stage_code)
        self._database.execute(
            "insert into reviews (index_visit_key, stage_code, reviewer, state_code, version, "
            "updated_at) values (?, ?, ?, 'draft', ?, ?) on conflict (index_visit_key, stage_code) "
            "do update set version = excluded.version, updated_at = excluded.updated_at",
            (*place, review.reviewer, version, now),
        )
        ((number,),) = self._database.execute(
            "select review_id from reviews where index_visit_key = ? and stage_code = ?", place
        )
        stamp = (review.stage_code, version, now, review.reviewer)
        for question in questions().values():
            old = before.answers.get(question.code, frozenset())
            new = review.answers.get(question.code, frozenset())
            if old != new:
                self._answer(number, question.code, new, is_many=question.is_many)
                self._note(number, Edit(*stamp, question.code, old, new))
        if before.comment != review.comment:
            self._database.execute(
                "insert into comments values (?, ?, ?)", (number, version, review.comment)
            )
            self._note(number, Edit(*stamp, "comment", frozenset(), frozenset()))
        if state != before.state_code:
            self._note(number, Edit(*stamp, "state", frozenset({DRAFT}), frozenset({state})))
            self._database.execute(
                "update reviews set state_code = ?, submitted_at = ? where review_id = ?",
                (state, now, number),
            )

    def _answer(
        self, number: int, field_code: str, codes: frozenset[str], *, is_many: bool
    ) -> None:
        self._database.execute(
            "delete from answers where review_id = ? and field_code = ?", (number, field_code)
        )
        self._database.execute_many(
            "insert into answers values (?, ?, ?, ?)",
            [(number, field_code, code, int(is_many)) for code in sorted(codes)],
        )

    def _note(self, number: int, edit: Edit) -> None:
        self._database.execute(
            "insert into edits (review_id, version, edited_at, editor, field_code, before_codes, "
            "after_codes) values (?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                edit.version,
                edit.edited_at,
                edit.editor,
                edit.field_code,
                _SEPARATOR.join(sorted(edit.before)),
                _SEPARATOR.join(sorted(edit.after)),
            ),
        )

    def _now(self) -> str:
        return self._clock().isoformat(timespec="microseconds")

    def _states(self) -> dict[str, dict[str, tuple[str, str]]]:
        found: dict[str, dict[str, tuple[str, str]]] = {}
        for case, stage, reviewer, state in self._database.execute(
            "select index_visit_key, stage_code, reviewer, state_code from reviews"
        ):
            found.setdefault(case, {})[stage] = (reviewer, state)
        return found

    def _read(self, index_visit_key: str, stage: str) -> Review | None:
        rows = self._database.execute(
            "select review_id, reviewer, state_code, version from reviews "
            "where index_visit_key = ? and stage_code = ?",
            (index_visit_key, stage),
        )
        if not rows:
            return None
        ((number, reviewer, state, version),) = rows
        answers: dict[str, set[str]] = {}
        for field_code, code in self._database.execute(
            "select field_code, code from answers where review_id = ?", (number,)
        ):
            answers.setdefault(field_code, set()).add(code)
        comment = self._database.execute(
            "select body from comments where review_id = ? order by version desc limit 1", (number,)
        )
        return Review(
            index_visit_key,
            stage,
            reviewer,
            state,
            version,
            {name: frozenset(codes) for name, codes in answers.items()},
            comment[0][0] if comment else "",
        )

    def _complete_codes(self) -> None:
        """Add what came to a list since; a code that left it stays for what was answered."""
        known = set(self._query("select field_code, code from codes"))
        new = [
            (question.code, code, int(question.is_many))
            for question in questions().values()
            for code in question.answers
            if (question.code, code) not in known
        ]
        if new:
            with self._database.transaction():
                self._database.execute_many(
                    "insert into codes values (?, ?, ?) on conflict do nothing", new
                )

    def _query(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._database.snapshot():
            return self._database.execute(statement, values)


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split(_SEPARATOR)) - {""}
