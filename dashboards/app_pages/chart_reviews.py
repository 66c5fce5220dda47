"""Chart audit: a hospital's cases to review, the form, and how far two reviewers agree.

Cases are named by token; the broker says which charts they are. Nothing of a case is put into the
address of the page.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import duckdb
import streamlit as st
from streamlit.errors import StreamlitAPIException

from chart_audit.agreement import agreement
from chart_audit.codes import ISSUE, THEME, Question, questions
from chart_audit.rules import DRAFT, LONGEST_COMMENT, STAGES, SUBMITTED, require_reviewer
from chart_audit.store import Case, Review, Store, opened_store
from dashboards import page, queries, tables
from dashboards.access import require_own
from dashboards.queries import Row
from governance.errors import ChartAuditError, SettingsError
from governance.settings import SETTINGS_FILE, Settings, default_home, load_settings

STAGE_NAMES = {"first": "First review", "second": "Second review", "reconciled": "Reconciliation"}
REASONS = {"sentinel": "sentinel return", "sample": "random sample"}
_REVIEWER = "audit_reviewer"


def render() -> None:
    """Draw the page."""
    view = page.open_page("Chart audit")
    hospital = require_own(view)
    try:
        cases = queries.review_worklist(view)
    except duckdb.CatalogException:
        st.error("The hospital's file holds no worklist yet: run `scutari publish`.")
        return
    if not cases:
        st.info("There is no case to review: a quarter is sampled ten days after its end.")
        return
    try:
        with opened_store(_settings(), hospital) as store:
            _audit(store, hospital, cases)
    except (ChartAuditError, SettingsError) as error:
        _keep_what_was_typed(hospital)
        st.error(str(error))


def _keep_what_was_typed(hospital: str) -> None:
    """Keep a form that this run did not draw: Streamlit forgets what is not drawn."""
    fields = ("quarter", "stage", "case", "comment", *questions())
    for key in list(st.session_state):
        start, _, field = str(key).rpartition(" ")
        if f"{start} ".startswith(f"{hospital} ") and field in fields:
            # What this run has drawn is kept by itself, and may not be set.
            with suppress(StreamlitAPIException):
                st.session_state[key] = st.session_state[key]


def _settings() -> Settings:
    home = default_home()
    return load_settings(home) if (home / SETTINGS_FILE).exists() else Settings(home=home)


def _audit(store: Store, hospital: str, cases: Sequence[Row]) -> None:
    left, middle, right = st.columns(3)
    quarters = sorted({row["quarter_on"] for row in cases}, reverse=True)
    quarter = left.selectbox(
        "Quarter of the index visit", quarters, format_func=_quarter, key=f"{hospital} quarter"
    )
    stage = middle.selectbox(
        "Review", STAGES, format_func=STAGE_NAMES.__getitem__, key=f"{hospital} stage"
    )
    reviewer = right.text_input("Your account", value=st.session_state.get(_REVIEWER, "")).strip()
    st.session_state[_REVIEWER] = reviewer
    of_quarter = [row for row in cases if row["quarter_on"] == quarter]
    states = store.states()
    _progress(of_quarter, states)
    _agreement(store)
    _findings(store, quarter)
    st.header(STAGE_NAMES[stage])
    if not reviewer:
        st.info("Give your account to review.")
        return
    require_reviewer(reviewer)
    names = {
        row["index_visit_key"]: _name(number, row, states.get(row["index_visit_key"], {}))
        for number, row in enumerate(of_quarter, start=1)
    }
    key = st.selectbox(
        "Case", list(names), format_func=names.__getitem__, key=f"{hospital} {quarter} case"
    )
    row = next(row for row in of_quarter if row["index_visit_key"] == key)
    page.note(
        f"Tokens for `scutari vault request`: index visit {row['index_visit_key']}, "
        f"return {row['return_visit_key'] or 'to another hospital'}"
    )
    _form(store, hospital, row, stage, reviewer)


def _form(store: Store, hospital: str, row: Row, stage: str, reviewer: str) -> None:
    """Draw a review as it was read; what is saved is a change of that, not of what is there now."""
    place = f"{hospital} {row['index_visit_key']} {stage} {reviewer}"
    if place not in st.session_state:
        st.session_state[place] = store.read(row["index_visit_key"], stage, reviewer)
    review: Review = st.session_state[place]
    if stage == STAGES[-1]:
        _both(store.submitted_answers(review.index_visit_key))
    is_done = review.state_code == SUBMITTED
    # Another version is another form: a form that was opened again shows what it read.
    with st.form(f"{place} {review.version}"):
        answers = {
            question.code: _ask(question, review, place, is_done=is_done)
            for question in questions().values()
        }
        comment = st.text_area(
            "Comment (stays in the hospital's store; no names)",
            value=review.comment,
            max_chars=LONGEST_COMMENT,
            disabled=is_done,
            key=f"{place} {review.version} comment",
        )
        left, right, _ = st.columns([1, 1, 3])
        is_draft = left.form_submit_button("Save draft", disabled=is_done)
        is_final = right.form_submit_button("Submit", type="primary", disabled=is_done)
    if is_done:
        st.success("Submitted: this review does not change any more.")
    elif is_draft or is_final:
        changed = replace(review, answers=answers, comment=comment)
        _save(store, row, changed, place, is_final=is_final)
    if not is_done and st.button("Open again as saved", key=f"{place} again"):
        st.session_state[place] = store.read(row["index_visit_key"], stage, reviewer)
        st.rerun()
    _history(store, review.index_visit_key, stage)


def _save(store: Store, row: Row, review: Review, place: str, *, is_final: bool) -> None:
    case = Case(
        row["index_visit_key"],
        row["return_visit_key"],
        row["reason_code"],
        row["quarter_on"].isoformat(),
    )
    try:
        store.open_case(case, review.reviewer)
        saved = store.submit(review) if is_final else store.save_draft(review)
    except ChartAuditError as error:
        # What was typed stays in the form.
        st.error(str(error))
        return
    st.session_state[place] = saved
    st.rerun()


def _ask(question: Question, review: Review, place: str, *, is_done: bool) -> frozenset[str]:
    given = review.answers.get(question.code, frozenset())
    # An answer that left the list since stays where it was given.
    codes = [*question.answers, *sorted(given - set(question.answers))]
    words = dict.fromkeys(codes, "no longer on the list") | question.answers
    label = question.words + (" (where there was an issue)" if question.follows_issue else "")
    key = f"{place} {review.version} {question.code}"
    if question.is_many:
        chosen = st.multiselect(
            label,
            codes,
            default=[code for code in codes if code in given],
            format_func=words.__getitem__,
            disabled=is_done,
            key=key,
        )
        return frozenset(chosen)
    index = next((position for position, code in enumerate(codes) if code in given), None)
    one = st.selectbox(
        label,
        codes,
        index=index,
        format_func=words.__getitem__,
        placeholder="Choose",
        disabled=is_done,
        key=key,
    )
    return frozenset() if one is None else frozenset({one})


def _progress(cases: Sequence[Row], states: Mapping[str, Mapping[str, tuple[str, str]]]) -> None:
    done = [
        sum(
            states.get(row["index_visit_key"], {}).get(stage, ("", DRAFT))[1] == SUBMITTED
            for row in cases
        )
        for stage in STAGES
    ]
    st.write(
        f"{len(cases)} cases: {done[0]} reviewed, {done[1]} reviewed twice, {done[2]} reconciled."
    )


def _agreement(store: Store) -> None:
    found = agreement(store.rated_pairs(ISSUE))
    if found.pairs_count == 0:
        return
    words = (
        f"Of {found.pairs_count} cases reviewed twice, both reviewers said the same about an issue "
        f"in {found.equal_count}"
    )
    if found.kappa is not None:
        words += f"; Cohen's kappa {found.kappa:.2f} ({found.lower:.2f} to {found.upper:.2f})"
    st.write(f"{words}.")


def _findings(store: Store, quarter: dt.date) -> None:
    found = store.findings(quarter.isoformat())
    if not found.reviewed_count:
        return
    st.write(
        f"An adverse event or quality issue in {found.issue_count} of {found.reviewed_count} "
        f"reviewed cases ({found.issue_count / found.reviewed_count:.1%})."
    )
    themes = questions()[THEME].answers
    rows = [
        {"theme": themes.get(code, code), "cases": count}
        for code, count in sorted(found.theme_counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    if rows:
        columns = [
            tables.text("Underlying cause", "theme"),
            tables.text("Cases", "cases"),
        ]
        with st.expander("Underlying causes"):
            caption = "Cases by underlying cause; a case can have several"
            st.html(tables.table(caption, columns, rows))


def _both(answers: Mapping[str, Mapping[str, frozenset[str]]]) -> None:
    rows = [
        {"question": question.words}
        | {
            stage: ", ".join(
                question.answers.get(code, code)
                for code in sorted(answers.get(stage, {}).get(question.code, ()))
            )
            for stage in STAGES[:-1]
        }
        for question in questions().values()
    ]
    columns = [
        tables.text("Question", "question"),
        tables.text("First", "first"),
        tables.text("Second", "second"),
    ]
    st.html(tables.table("What the two reviewers answered", columns, rows))


def _history(store: Store, index_visit_key: str, stage: str) -> None:
    edits = [edit for edit in store.history(index_visit_key) if edit.stage_code == stage]
    if not edits:
        return
    rows = [
        {
            "at": edit.edited_at[:19].replace("T", " "),
            "editor": edit.editor,
            "field": edit.field_code.replace("_", " "),
            "before": ", ".join(sorted(edit.before)),
            "after": ", ".join(sorted(edit.after)),
        }
        for edit in reversed(edits)
    ]
    columns = [
        tables.text("When (UTC)", "at"),
        tables.text("Who", "editor"),
        tables.text("What", "field"),
        tables.text("Before", "before"),
        tables.text("After", "after"),
    ]
    with st.expander("Changes"):
        st.html(tables.table("Changes of this review, the newest first", columns, rows))


def _quarter(day: dt.date) -> str:
    return f"{day.year}-Q{(day.month + 2) // 3}"


def _name(number: int, row: Row, stages: Mapping[str, tuple[str, str]]) -> str:
    last = next((stage for stage in reversed(STAGES) if stage in stages), None)
    state = f"{STAGE_NAMES[last].lower()}: {stages[last][1]}" if last else "not begun"
    return f"{number} · {REASONS[row['reason_code']]} · {state}"


if __name__ == "__main__":
    render()
