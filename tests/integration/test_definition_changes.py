"""A measure that counts otherwise: what changed is said, and the figures of both stay apart."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest
from streamlit.testing.v1 import AppTest

from dashboards import queries
from dashboards.queries import NETWORK, find_views
from extract.lake import sha256_of
from governance.settings import PROJECT_ROOT, Settings
from ops.publication.definitions import NOT_KEPT
from ops.publication.publish import publish
from tests.helpers.reported import write as write_report
from tests.helpers.small_warehouse import (
    ANY_RETURN,
    HEADLINE,
    MEASURES,
    write_record,
)

pytestmark = pytest.mark.integration

ARROW = "\N{RIGHTWARDS ARROW}"
SHORTER = f"window 72 {ARROW} 48 hours"
TRANSFERS = f"transfer window hours 24 {ARROW} 12 hours"
SHOWN = f"from rpt_ed_returns_monthly where measure_code = '{HEADLINE}'"
FEWER = "update {}.rpt_ed_returns_monthly set numerator_count = numerator_count * 8 // 10"


@pytest.fixture
def settings(published_once: Settings) -> Settings:
    return published_once


def rule(code: str, value: str, measure: str | None = None) -> str:
    of = f" and measure_code = '{measure}'" if measure else ""
    return (
        f"update published.measure_rules set rule_value = '{value}' where rule_code = '{code}'{of}"
    )


def publish_again(settings: Settings, *statements: str) -> None:
    with duckdb.connect(str(settings.warehouse)) as con:
        for sql in statements:
            con.execute(sql)
    write_record(settings.home)
    publish(settings)


def query(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(settings.published / "current.duckdb"), read_only=True) as con:
        return con.execute(sql).fetchall()


def words(scope: str) -> str:
    page = AppTest.from_file(
        str(PROJECT_ROOT / "dashboards" / "app_pages" / "ed_returns.py"), default_timeout=30
    )
    page.session_state["scope"] = scope
    page.run()
    assert not page.exception
    return "".join(element.proto.body for element in page.get("html"))


def test_the_page_says_which_rule_changed_and_shows_both_figures(settings: Settings) -> None:
    before = query(
        settings,
        f"select numerator_count {SHOWN} and hospital_key = 'lakeside' and month_on = '2024-05-01'",
    )
    publish_again(
        settings,
        rule("window_hours", "48", HEADLINE),
        FEWER.format("marts") + f" where measure_code = '{HEADLINE}'",
    )
    views = find_views(settings)
    for scope in (NETWORK, "lakeside"):
        rows = queries.revisions(views[scope], "lakeside", HEADLINE)
        (may,) = [row for row in rows if f"{row['month_on']}" == "2024-05-01"]
        assert (may["first_numerator_count"],) == before[0]
        assert (may["is_new_series"], may["change"]) == (True, SHORTER)
        assert queries.revisions(views[scope], "lakeside", ANY_RETURN) == []
        assert may["now_numerator_count"] == (None if scope == NETWORK else before[0][0] * 8 // 10)
    assert {row["change"] for row in queries.revisions(views[NETWORK], NETWORK, HEADLINE)} == {
        SHORTER
    }
    for scope, meant in ((NETWORK, "is another series"), ("lakeside", "defined today")):
        said = words(scope)
        assert "Counted otherwise since the publication of" in said
        assert f": {SHORTER}. " in said
        assert meant in said
    page, _ = write_report(settings, "lakeside")
    assert SHORTER in page.decode()


def test_a_rule_beside_the_measure_is_part_of_its_definition_and_comes_back_with_it(
    settings: Settings,
) -> None:
    """A wrong rule that was published for a day takes no figure away for good."""
    shown = query(settings, f"select * {SHOWN} order by all")
    publish_again(settings, rule("transfer_window_hours", "12"))
    assert query(settings, f"select count(numerator_count) {SHOWN}") == [(0,)]
    view = find_views(settings)[NETWORK]
    for measure, *_ in MEASURES:
        changes = queries.definitions(view, measure)
        assert len(changes) == 2
    assert {row["change"] for row in queries.revisions(view, "lakeside", ANY_RETURN)} == {TRANSFERS}
    publish_again(settings, rule("transfer_window_hours", "24"))
    assert query(settings, f"select * {SHOWN} order by all") == shown
    assert queries.revisions(find_views(settings)[NETWORK], "lakeside", HEADLINE) == []


def test_a_code_of_a_group_changes_the_measures_of_that_group_and_no_other(
    settings: Settings,
) -> None:
    publish_again(
        settings,
        "insert into published.measure_rules select * replace ('return_diagnosis.I22' as "
        "rule_code, 'I22' as rule_name) from published.measure_rules "
        "where rule_code = 'return_diagnosis.I21'",
    )
    assert query(settings, f"select count(numerator_count) > 0 {SHOWN}") == [(True,)]
    view = find_views(settings)[NETWORK]
    changed = {code for code, *_ in MEASURES if len(queries.definitions(view, code)) == 2}
    assert changed == {"ed_return_7d_ami", "ed_return_7d_sentinel"}


def forget_rules(settings: Settings) -> None:
    """Make the published file one of an earlier version, which kept the digest of the row alone."""
    path = (settings.published / "current.duckdb").resolve()
    # What is written into the file makes it another one than the log names.
    digest = sha256_of(path)
    with duckdb.connect(str(path)) as con:
        con.execute("insert into history.publications values (now()::timestamp, $1)", [digest])
        con.execute("drop table history.measure_rules; drop table history.measure_definitions")
        con.execute("drop table main.measure_rules")
        for table in ("rpt_ed_returns_monthly", "rpt_ed_returns_half_yearly"):
            con.execute(
                f"update history.{table} as cells set definition = md5(concat_ws('|', "
                "window_hours, requires_admission, requires_same_hospital, "
                "coalesce(return_diagnosis_group_code, '-'), '-', "
                "coalesce(maximum_age_years, -1))) from main.measures "
                "where measures.measure_code = cells.measure_code"
            )


def test_a_file_of_an_earlier_version_is_read_and_built_upon(settings: Settings) -> None:
    shown = query(settings, f"select * {SHOWN} order by all")
    forget_rules(settings)
    assert queries.definitions(find_views(settings)[NETWORK], HEADLINE) == ()
    assert "Counted otherwise" not in words("lakeside")
    publish_again(settings)
    assert query(settings, f"select * {SHOWN} order by all") == shown
    publish_again(settings, rule("window_hours", "48", HEADLINE))
    view = find_views(settings)[NETWORK]
    assert {row["change"] for row in queries.revisions(view, "lakeside", HEADLINE)} == {SHORTER}


def test_a_change_made_with_the_upgrade_says_only_that_it_is_one(settings: Settings) -> None:
    forget_rules(settings)
    publish_again(
        settings,
        rule("window_hours", "48", HEADLINE),
        f"update published.measures set window_hours = 48 where measure_code = '{HEADLINE}'",
    )
    view = find_views(settings)[NETWORK]
    rows = queries.revisions(view, "lakeside", HEADLINE)
    assert {(row["is_new_series"], row["change"]) for row in rows} == {(True, NOT_KEPT)}
    assert NOT_KEPT in words(NETWORK)
    assert len(queries.definitions(view, ANY_RETURN)) == 1


# Digests of definitions as published files hold them. Another one hides every month that an
# installation has published of the measure: change it only with what the measure counts.
PUBLISHED = {
    HEADLINE: "638cb8af1a2a8d5119402a0c5aa96ed2",
    "ed_return_7d_paediatric_sepsis": "0693b52950d7b8e6de6acde672f26aaf",
}


def test_the_shipped_measures_count_what_they_counted(demo_settings: Settings) -> None:
    found = dict(
        query(demo_settings, "select measure_code, definition from history.measure_definitions")
    )
    assert {code: found[code] for code in PUBLISHED} == PUBLISHED
