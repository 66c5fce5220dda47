"""What a review must be like, and in which order the reviews of a case come: all of it here.

A case has at most three reviews: a first, a second by somebody else, and one in which both agree.
Each is a draft until it is submitted, and never changes after that.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from chart_audit.codes import ISSUE, Answers, questions
from governance.errors import ChartAuditError

STAGES = ("first", "second", "reconciled")
DRAFT, SUBMITTED = "draft", "submitted"
LONGEST_COMMENT = 4000
# Half of a pair of UTF-16 is no character; PostgreSQL's texts have no NUL.
_UNSAVED = re.compile("[\0\ud800-\udfff]")
_REVIEWER = re.compile(r"[a-z][a-z0-9_.-]{0,31}")


def require_reviewer(reviewer: str) -> None:
    """Refuse what is no account's name.

    Raises:
        ChartAuditError: it is none.
    """
    if not _REVIEWER.fullmatch(reviewer):
        raise ChartAuditError(
            "A reviewer is named by an account: small letters, digits, _, . and -, at most 32."
        )


def require_turn(stage: str, reviewer: str, others: Mapping[str, tuple[str, str]]) -> None:
    """Refuse a review before its turn, or a second one by the first reviewer.

    Args:
        stage: the review that is to be written.
        reviewer: who writes it.
        others: reviewer and state of each review the case has, by stage.

    Raises:
        ChartAuditError: the stage is none, it is not its turn, or not theirs.
    """
    if stage not in STAGES:
        raise ChartAuditError(f"A review is one of {', '.join(STAGES)}.")
    if stage in others and others[stage][0] != reviewer:
        raise ChartAuditError(
            f"The {stage} review of this case is {others[stage][0]}'s: open another case."
        )
    for earlier in STAGES[: STAGES.index(stage)]:
        if earlier not in others or others[earlier][1] != SUBMITTED:
            raise ChartAuditError(
                f"The {stage} review waits for the {earlier} one to be submitted."
            )
    if stage == "second" and others["first"][0] == reviewer:
        raise ChartAuditError(
            "A second review is somebody else's than the first: two by one reviewer say nothing "
            "about agreement."
        )


def require_known(answers: Answers, comment: str) -> None:
    """Refuse answers that no list has, or several where one is asked for.

    Raises:
        ChartAuditError: a question or code is unknown, or the comment is too long.
    """
    asked = questions()
    for field, codes in answers.items():
        if field not in asked or not codes <= set(asked[field].answers):
            raise ChartAuditError("An answer is not on the list of its question: choose again.")
        if len(codes) > 1 and not asked[field].is_many:
            raise ChartAuditError(f"“{asked[field].words}” has one answer: choose one.")
    if len(comment) > LONGEST_COMMENT:
        raise ChartAuditError(f"The comment is longer than {LONGEST_COMMENT} characters.")
    if _UNSAVED.search(comment):
        raise ChartAuditError("The comment has a character that cannot be saved: type it anew.")


def missing(answers: Answers) -> list[str]:
    """Return in words what a review lacks, or has too much, before it can be submitted."""
    has_issue = answers.get(ISSUE) == frozenset({"yes"})
    faults = []
    for question in questions().values():
        is_given = bool(answers.get(question.code))
        if question.follows_issue and not has_issue:
            if is_given:
                faults.append(f"“{question.words}” is answered, though there was no issue")
        elif question.is_required and not is_given:
            faults.append(f"“{question.words}” is not answered")
    if _is_none_and_more(answers.get("action", frozenset())):
        faults.append("“Action” is none and something else")
    return faults


def _is_none_and_more(codes: Collection[str]) -> bool:
    return "none" in codes and len(codes) > 1
