"""The chart-audit form, from the worklist to a second review, by Streamlit's own test runner."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from chart_audit.store import opened_store
from governance.settings import PROJECT_ROOT, SETTINGS_FILE, Settings, load_settings
from tests.helpers.dashboard import publish_small
from tests.helpers.review_database import DSN_ENV, in_postgres

pytestmark = pytest.mark.integration

OWN = "mill_valley"
PAGE = PROJECT_ROOT / "dashboards" / "app_pages" / "chart_reviews.py"
COMMENT = "Mrs Smith of Elm Street"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return publish_small(tmp_path_factory.mktemp("audit"))


@pytest.fixture
def settings(published: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same publication, with a store of its own."""
    for zone in ("published", "operational"):
        (tmp_path / zone).symlink_to(published.home / zone)
    monkeypatch.setenv("SCUTARI_HOME", str(tmp_path))
    return Settings(home=tmp_path)


def opened(reviewer: str, stage: str = "first") -> AppTest:
    """The page of the closed quarter, its first case chosen."""
    page = AppTest.from_file(str(PAGE), default_timeout=30).run()
    page.selectbox(key="scope_selector").select(OWN).run()
    page.text_input[0].input(reviewer)
    next(box for box in page.selectbox if box.label.startswith("Quarter")).select_index(1)
    next(box for box in page.selectbox if box.label == "Review").select(stage).run()
    assert not page.exception
    return page


def answer(page: AppTest, words: str, code: str) -> None:
    next(box for box in page.selectbox if box.label.startswith(words)).select(code)


def press(page: AppTest, label: str) -> AppTest:
    next(button for button in page.button if button.label == label).click().run()
    assert not page.exception
    return page


def fill(page: AppTest, *, has_issue: bool) -> None:
    answer(page, "Adverse event", "yes" if has_issue else "no")
    answer(page, "Diagnoses", "related")
    if has_issue:
        answer(page, "Type of event", "diagnosis")
        answer(page, "Harm", "mild")
        answer(page, "Could it", "probably")
        themes, actions = page.multiselect
        themes.select("handover").select("crowding")
        actions.select("feedback")


def said(page: AppTest) -> str:
    return "\n".join(str(element.value) for element in (*page.error, *page.info, *page.success))


def states(settings: Settings) -> dict[str, tuple[str, str]]:
    with opened_store(settings, OWN) as store:
        return store.states().get("mill_valley-1", {})


def test_the_network_has_no_form(settings: Settings) -> None:
    page = AppTest.from_file(str(PAGE), default_timeout=30).run()
    assert "hospital's own" in said(page)
    assert not page.text_area
    assert not settings.chart_audit.exists()


def test_a_draft_comes_back_and_is_submitted_when_it_is_complete(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    page = opened("anna")
    answer(page, "Adverse event", "yes")
    page.text_area[0].input(COMMENT)
    press(page, "Save draft")
    assert states(settings) == {"first": ("anna", "draft")}

    again = opened("anna")
    assert again.text_area[0].value == COMMENT
    press(again, "Submit")
    assert "“Harm to the patient” is not answered" in said(again)
    assert states(settings) == {"first": ("anna", "draft")}
    fill(again, has_issue=True)
    press(again, "Submit")
    assert states(settings) == {"first": ("anna", "submitted")}
    assert "does not change any more" in said(again)
    with opened_store(settings, OWN) as store:
        assert store.submitted_answers("mill_valley-1")["first"]["theme"] == {
            "handover",
            "crowding",
        }
    assert again.query_params == {}
    assert "Smith" not in caplog.text
    assert not page.query_params


def test_a_second_review_is_somebody_elses_and_is_compared(settings: Settings) -> None:
    first = opened("anna")
    fill(first, has_issue=False)
    press(first, "Submit")
    assert "somebody else's" in said(opened("anna", "second"))
    second = opened("berta", "second")
    # The second reviewer does not see what the first one found.
    assert second.selectbox[-1].value is None
    fill(second, has_issue=True)
    press(second, "Submit")
    assert states(settings) == {"first": ("anna", "submitted"), "second": ("berta", "submitted")}
    assert any("issue in 0 of 1 reviewed" in str(words.value) for words in second.markdown)
    assert any("Of 1 cases reviewed twice" in str(words.value) for words in second.markdown)
    both = opened("clara", "reconciled")
    tables = "".join(element.proto.body for element in both.get("html"))
    assert "Diagnosis missed, wrong or late" in tables


def test_the_second_of_two_windows_overwrites_nothing(settings: Settings) -> None:
    one, two = opened("anna"), opened("anna")
    one.text_area[0].input("one")
    two.text_area[0].input("two")
    press(one, "Save draft")
    press(two, "Save draft")
    assert "nothing of it was overwritten" in said(two)
    assert two.text_area[0].value == "two"
    with opened_store(settings, OWN) as store:
        assert store.read("mill_valley-1", "first", "anna").comment == "one"
    press(two, "Open again as saved")
    assert two.text_area[0].value == "one"


def name_database(settings: Settings, dsn_env: str, prefix: str) -> None:
    (settings.home / SETTINGS_FILE).write_text(
        "synthetic = true\n[sources.ehr]\nkind = 'sqlite'\npath = 'x'\n[chart_audit]\n"
        f"kind = 'postgresql'\ndsn_env = '{dsn_env}'\nschema = '{prefix}'\n"
    )


def test_the_page_saves_into_postgresql_where_the_settings_name_it(
    settings: Settings, pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = in_postgres(settings.home, pg_dsn, monkeypatch).review_database
    assert database is not None
    name_database(settings, DSN_ENV, database.prefix)
    page = opened("anna")
    page.text_area[0].input(COMMENT)
    press(page, "Save draft")
    assert opened("anna").text_area[0].value == COMMENT
    assert not settings.chart_audit.exists()
    assert states(load_settings(settings.home)) == {"first": ("anna", "draft")}
    # While it is away the page says so without the secret, and keeps what was typed.
    page.text_area[0].input("typed meanwhile")
    answer(page, "Adverse event", "yes")
    monkeypatch.setenv(DSN_ENV, "postgresql://anna:hunter2@127.0.0.1:1/reviews")
    press(page, "Save draft")
    assert "The database of the chart audit cannot be opened" in said(page)
    assert "hunter2" not in said(page)
    assert not settings.chart_audit.exists()
    monkeypatch.setenv(DSN_ENV, "")
    page.run()
    assert f"the environment variable {DSN_ENV} is missing" in said(page)
    monkeypatch.setenv(DSN_ENV, pg_dsn)
    page.run()
    assert page.text_area[0].value == "typed meanwhile"
    assert not page.warning
    press(page, "Save draft")
    assert opened("anna").text_area[0].value == "typed meanwhile"
    with opened_store(load_settings(settings.home), OWN) as store:
        answers = store.read("mill_valley-1", "first", "anna").answers
    assert answers == {"quality_issue": frozenset({"yes"})}
