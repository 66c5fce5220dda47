"""The store of chart reviews: its order of things, its constraints, and that nothing is lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from adbc_driver_postgresql import dbapi

from chart_audit.codes import questions
from chart_audit.files import store_path
from chart_audit.rules import missing
from chart_audit.store import Case, Findings, Review, Store, opened_store
from governance.errors import ChartAuditError
from governance.settings import Settings
from tests.helpers.review_database import at_a_prompt, in_postgres, made_again

CASE = Case("a" * 20, "b" * 20, "sample", "2026-01-01")
KEY = CASE.index_visit_key
REFUSED = (sqlite3.IntegrityError, dbapi.IntegrityError)
NO_ISSUE = {
    "quality_issue": frozenset({"no"}),
    "diagnosis_concordance": frozenset({"same"}),
}
ISSUE = {
    "quality_issue": frozenset({"yes"}),
    "diagnosis_concordance": frozenset({"related"}),
    "event_type": frozenset({"diagnosis"}),
    "severity": frozenset({"mild"}),
    "preventability": frozenset({"probably"}),
    "theme": frozenset({"cognitive_lapse", "handover"}),
    "action": frozenset({"feedback"}),
}


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """The default, and PostgreSQL: what holds for one holds for both."""
    if request.param == "sqlite":
        return Settings(home=tmp_path)
    return in_postgres(tmp_path, request.getfixturevalue("pg_dsn"), monkeypatch)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with opened_store(settings, "H01") as opened:
        opened.open_case(CASE, "anna")
        yield opened


def submitted(store: Store, stage: str, reviewer: str, answers: dict[str, frozenset[str]]) -> None:
    store.submit(replace(store.read(KEY, stage, reviewer), answers=answers, comment="seen"))


def raw(settings: Settings, statement: str) -> None:
    """Run a statement beside the program, as somebody at a prompt would."""
    if settings.review_database:
        at_a_prompt(settings, "H01", statement)
        return
    with sqlite3.connect(store_path(settings, "H01")) as connection:
        connection.execute("pragma foreign_keys = on")
        connection.execute(statement)


def test_a_draft_is_read_as_it_was_saved(store: Store) -> None:
    empty = store.read(KEY, "first", "anna")
    assert (empty.version, empty.answers, empty.comment) == (0, {}, "")
    saved = store.save_draft(replace(empty, answers={"theme": ISSUE["theme"]}, comment="half done"))
    assert store.read(KEY, "first", "anna") == saved
    assert (saved.version, saved.state_code) == (1, "draft")


def test_every_change_stands_in_the_history_but_no_comment(store: Store) -> None:
    draft = store.save_draft(
        replace(store.read(KEY, "first", "anna"), answers=NO_ISSUE, comment="Mrs Smith fell")
    )
    store.submit(replace(draft, answers=ISSUE, comment="Mrs Smith fell twice"))
    edits = [
        (e.version, e.editor, e.field_code, set(e.before), set(e.after)) for e in store.history(KEY)
    ]
    assert edits == [
        (1, "anna", "quality_issue", set(), {"no"}),
        (1, "anna", "diagnosis_concordance", set(), {"same"}),
        (1, "anna", "comment", set(), set()),
        (2, "anna", "quality_issue", {"no"}, {"yes"}),
        (2, "anna", "diagnosis_concordance", {"same"}, {"related"}),
        (2, "anna", "event_type", set(), {"diagnosis"}),
        (2, "anna", "severity", set(), {"mild"}),
        (2, "anna", "preventability", set(), {"probably"}),
        (2, "anna", "theme", set(), {"cognitive_lapse", "handover"}),
        (2, "anna", "action", set(), {"feedback"}),
        (2, "anna", "comment", set(), set()),
        (2, "anna", "state", {"draft"}, {"submitted"}),
    ]


def test_first_second_and_reconciled_come_in_their_order(store: Store) -> None:
    for stage, reviewer in (("second", "berta"), ("reconciled", "anna")):
        with pytest.raises(ChartAuditError, match="waits for the first"):
            store.read(KEY, stage, reviewer)
    submitted(store, "first", "anna", ISSUE)
    with pytest.raises(ChartAuditError, match="somebody else's than the first"):
        store.read(KEY, "second", "anna")
    store.save_draft(store.read(KEY, "second", "berta"))
    with pytest.raises(ChartAuditError, match="waits for the second"):
        store.read(KEY, "reconciled", "anna")
    with pytest.raises(ChartAuditError, match="second review of this case is berta's"):
        store.save_draft(Review(KEY, "second", "clara"))
    submitted(store, "second", "berta", NO_ISSUE)
    submitted(store, "reconciled", "anna", ISSUE)
    assert store.states() == {
        KEY: {
            "first": ("anna", "submitted"),
            "second": ("berta", "submitted"),
            "reconciled": ("anna", "submitted"),
        }
    }
    assert store.rated_pairs("quality_issue") == [("yes", "no")]
    assert store.rated_pairs("theme") == []
    assert store.submitted_answers(KEY) == {"first": ISSUE, "second": NO_ISSUE, "reconciled": ISSUE}


def test_findings_count_the_review_that_stands(store: Store) -> None:
    assert store.findings("2026-01-01") == Findings()
    for letter, answers in (("d", NO_ISSUE), ("e", ISSUE), ("f", ISSUE)):
        other = replace(CASE, index_visit_key=letter * 20)
        store.open_case(other, "anna")
        store.submit(Review(other.index_visit_key, "first", "anna", answers=answers))
    later = replace(CASE, index_visit_key="0" * 20, quarter_on="2026-04-01")
    store.open_case(later, "anna")
    store.submit(Review(later.index_visit_key, "first", "anna", answers=ISSUE))
    store.save_draft(Review(KEY, "first", "anna", answers=ISSUE))
    # Three of the quarter are submitted, two with an issue, each with both themes; one is a draft.
    assert store.findings("2026-01-01") == Findings(3, 2, {"cognitive_lapse": 2, "handover": 2})
    # The second reviewer of e finds none, and nothing changes until both agree on that.
    store.submit(Review("e" * 20, "second", "berta", answers=NO_ISSUE))
    assert store.findings("2026-01-01").issue_count == 2
    store.submit(Review("e" * 20, "reconciled", "anna", answers=NO_ISSUE))
    assert store.findings("2026-01-01") == Findings(3, 1, {"cognitive_lapse": 1, "handover": 1})


def test_a_pair_counts_once_both_are_submitted(store: Store) -> None:
    submitted(store, "first", "anna", NO_ISSUE)
    store.save_draft(replace(store.read(KEY, "second", "berta"), answers=NO_ISSUE))
    assert store.rated_pairs("quality_issue") == []


def test_what_is_submitted_does_not_change(store: Store) -> None:
    submitted(store, "first", "anna", ISSUE)
    again = store.read(KEY, "first", "anna")
    for save in (store.save_draft, store.submit):
        with pytest.raises(ChartAuditError, match="does not change any more"):
            save(replace(again, answers=NO_ISSUE))
    assert store.read(KEY, "first", "anna").answers == ISSUE


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ({}, "“Adverse event or quality issue” is not answered"),
        (NO_ISSUE | {"severity": frozenset({"mild"})}, "there was no issue"),
        (ISSUE | {"theme": frozenset()}, "“Underlying causes” is not answered"),
        (ISSUE | {"action": frozenset({"none", "teaching"})}, "none and something else"),
    ],
)
def test_an_unfinished_review_is_a_draft(
    store: Store, answers: dict[str, frozenset[str]], fault: str
) -> None:
    review = replace(store.read(KEY, "first", "anna"), answers=answers)
    with pytest.raises(ChartAuditError, match=fault):
        store.submit(review)
    assert store.save_draft(review).state_code == "draft"
    assert not missing(ISSUE)
    assert not missing(NO_ISSUE)


@pytest.mark.parametrize(
    "answers",
    [
        {"severity": frozenset({"Mrs Smith"})},
        {"diary": frozenset({"yes"})},
        {"severity": frozenset({"mild", "severe"})},
    ],
)
def test_answers_are_codes_of_their_list(store: Store, answers: dict[str, frozenset[str]]) -> None:
    with pytest.raises(ChartAuditError) as refused:
        store.save_draft(replace(store.read(KEY, "first", "anna"), answers=answers))
    assert "Smith" not in str(refused.value)
    assert store.states() == {}


def test_of_two_who_save_the_same_version_one_is_told(settings: Settings, store: Store) -> None:
    start = threading.Barrier(2)
    told: list[str] = []

    def save(comment: str) -> None:
        with opened_store(settings, "H01") as own:
            read = own.read(KEY, "first", "anna")
            start.wait()
            try:
                own.save_draft(replace(read, comment=comment))
            except ChartAuditError as error:
                told.append(str(error))

    threads = [threading.Thread(target=save, args=(text,)) for text in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 1
    assert "nothing of it was overwritten" in told[0]
    assert store.read(KEY, "first", "anna").version == 1


def test_a_killed_process_loses_nothing_it_was_told_was_saved(settings: Settings) -> None:
    code = f"""
import dataclasses
from chart_audit.store import Case, opened_store
{made_again(settings)}
themes = [{"cognitive_lapse"!r}, {"handover"!r}, {"crowding"!r}]
with opened_store(settings, "H01") as store:
    store.open_case(Case({KEY!r}, None, "sample", "2026-01-01"), "anna")
    review = store.read({KEY!r}, "first", "anna")
    while True:
        theme = frozenset(themes[: review.version % 4])
        review = store.save_draft(
            dataclasses.replace(review, answers={{"theme": theme}}, comment=str(review.version))
        )
        print(review.version, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(40)][-1]
    process.send_signal(signal.SIGKILL)
    told = max([told, *map(int, process.stdout.read().split())])
    process.wait()
    with opened_store(settings, "H01") as store:
        review = store.read(KEY, "first", "anna")
        history = store.history(KEY)
    assert review.version in (told, told + 1)
    # All of a save is there or nothing: what the history leads to is what is read.
    assert review.comment == str(review.version - 1)
    assert len(review.answers.get("theme", ())) == (review.version - 1) % 4
    assert max(edit.version for edit in history) == review.version
    themes = [edit.after for edit in history if edit.field_code == "theme"]
    assert themes[-1] == review.answers.get("theme", frozenset())


KILLED_AT_EACH_STATEMENT = """
import os, signal, sys
from dataclasses import replace
from chart_audit.store import Case, opened_store
exec(sys.argv[1])
key = sys.argv[2]
class Watched:
    def __init__(self, cursor, look):
        self.cursor, self.look = cursor, look
    def execute(self, statement, values):
        self.look(statement)
        return self.cursor.execute(statement, values)
    def fetchall(self):
        return self.cursor.fetchall()
def answers(version):
    return {"theme": frozenset({["crowding", "handover"][version % 2]})}
def save_and_die(deadly):
    with opened_store(settings, "H01") as store:
        store.open_case(Case(key, None, "sample", "2026-01-01"), "anna")
        review = store.read(key, "first", "anna")
        seen = []
        def look(statement):
            seen.append(statement)
            if len(seen) == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
        if settings.review_database:
            store._database._cursor = Watched(store._database._cursor, look)
        else:
            store._database.connection.set_trace_callback(look)
        version = review.version + 1
        store.save_draft(replace(review, answers=answers(version), comment=str(version)))
for deadly in range(1, 99):
    child = os.fork()
    if child == 0:
        save_and_die(deadly)
        os._exit(0)
    was_killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    with opened_store(settings, "H01") as store:
        review = store.read(key, "first", "anna")
        edits = [e.version for e in store.history(key)]
    whole = answers(review.version) if review.version else {}
    assert review.answers == whole, (deadly, review)
    assert review.comment == (str(review.version) if review.version else ""), (deadly, review)
    assert max(edits, default=0) == review.version, (deadly, edits)
    if not was_killed:
        break
print(deadly, review.version)
"""


def test_a_save_that_is_killed_at_any_statement_is_whole_or_not_at_all(settings: Settings) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EACH_STATEMENT, made_again(settings), KEY],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    deadly, version = map(int, done.stdout.split())
    # Every kill came before the commit, so that only the save that was let live is there.
    assert deadly > 10
    assert version == 1


@pytest.mark.parametrize(
    "statement",
    [
        "update edits set editor = 'berta'",
        "delete from edits",
        "update comments set body = ''",
        "delete from reviews",
        "update reviews set state_code = 'draft', submitted_at = null",
        "delete from answers",
        "insert into answers values (1, 'theme', 'crowding', 1)",
        "insert into comments values (1, 9, 'late')",
        # A second review by the first reviewer, two first reviews, a review of no case.
        f"insert into reviews values (9, '{KEY}', 'second', 'anna', 'draft', 1, 'now', null)",
        f"insert into reviews values (9, '{KEY}', 'first', 'berta', 'draft', 1, 'now', null)",
        "insert into reviews values (9, 'x', 'first', 'berta', 'draft', 1, 'now', null)",
    ],
)
def test_the_database_itself_holds_the_rules(
    settings: Settings, store: Store, statement: str
) -> None:
    submitted(store, "first", "anna", ISSUE)
    with pytest.raises(REFUSED):
        raw(settings, statement)


@pytest.mark.parametrize(
    "values", ["'severity', 'Mrs Smith', 0", "'severity', 'severe', 0", "'severity', 'severe', 1"]
)
def test_the_database_takes_one_answer_of_the_list(
    settings: Settings, store: Store, values: str
) -> None:
    mild = {"severity": frozenset({"mild"})}
    store.save_draft(replace(store.read(KEY, "first", "anna"), answers=mild))
    with pytest.raises(REFUSED):
        raw(settings, f"insert into answers values (1, {values})")


@pytest.mark.parametrize("comment", ["Mrs\0Smith", "Mrs Smith \ud83d", "Mrs Smith" * 1000])
def test_a_comment_that_cannot_be_saved_is_said_so(store: Store, comment: str) -> None:
    with pytest.raises(ChartAuditError, match="The comment") as refused:
        store.save_draft(replace(store.read(KEY, "first", "anna"), comment=comment))
    assert "Smith" not in str(refused.value)
    kept = store.save_draft(replace(store.read(KEY, "first", "anna"), comment="Zoë 😀 ' ? $1 %s"))
    assert store.read(KEY, "first", "anna") == kept


@pytest.mark.parametrize("hospital", ["../H01", "", "H 1", "a/b"])
def test_a_hospitals_code_cannot_lead_elsewhere(settings: Settings, hospital: str) -> None:
    with pytest.raises(ChartAuditError), opened_store(settings, hospital):
        pass


def test_eleven_themes_in_three_groups_have_words() -> None:
    assert len(questions()["theme"].answers) == 11
    assert all(words for question in questions().values() for words in question.answers.values())
