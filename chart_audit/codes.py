"""The questions of the chart audit and their answers, as the seeds list them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from governance.settings import PROJECT_ROOT

SEEDS = PROJECT_ROOT / "seeds" / "chart_audit"
ISSUE = "quality_issue"
THEME = "theme"
Answers = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Question:
    """One question and its answers: code to words, in the order of the form.

    Attributes:
        is_many: several codes may be given.
        is_required: a review is not submitted without it.
        follows_issue: asked only where there was an adverse event or quality issue.
    """

    code: str
    words: str
    answers: dict[str, str]
    is_many: bool
    is_required: bool
    follows_issue: bool


@cache
def questions() -> dict[str, Question]:
    """Return the questions by code, in the order of the form."""
    answers: dict[str, dict[str, str]] = {}
    for row in sorted(_rows("audit_codes"), key=lambda row: int(row["sort_number"])):
        if row["is_offered"] == "true":
            answers.setdefault(row["field_code"], {})[row["code"]] = row["code_name"]
    return {
        row["field_code"]: Question(
            row["field_code"],
            row["field_name"],
            answers[row["field_code"]],
            is_many=row["is_many"] == "true",
            is_required=row["is_required"] == "true",
            follows_issue=row["follows_issue"] == "true",
        )
        for row in sorted(_rows("audit_fields"), key=lambda row: int(row["sort_number"]))
    }


def _rows(name: str) -> list[dict[str, str]]:
    with (SEEDS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
