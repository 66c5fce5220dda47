"""Hospitals' stores against the marts and the hospitals' own files, after a whole night."""

from __future__ import annotations

import pytest

from chart_audit.codes import questions
from chart_audit.store import opened_store
from governance.settings import Settings
from tests.helpers.pipeline import query
from tests.helpers.reviews import QUARTERS, counted

pytestmark = pytest.mark.integration


def test_the_marts_say_what_the_stores_say(demo_settings: Settings) -> None:
    index_visits = query(
        demo_settings.warehouse, "select index_visit_key, hospital_key from core.fct_ed_returns"
    )
    expected = counted(demo_settings.chart_audit, dict(index_visits.iter_rows()))
    assert len(expected) > 10
    assert any(0 < count.unknown < count.reviewed for count in expected.values())
    found = query(
        demo_settings.warehouse,
        "select hospital_key, cast(quarter_on as text), reviewed_count, issue_count, "
        "reviewed_twice_count, unknown_cases_count from marts.rpt_ed_audits_quarterly",
    )
    assert {(row[0], row[1]): row[2:] for row in found.iter_rows()} == {
        place: (c.reviewed, c.issues, c.twice, c.unknown) for place, c in expected.items()
    }
    themes = query(
        demo_settings.warehouse,
        "select hospital_key, cast(quarter_on as text), theme_code, theme_count, issue_count, "
        "reviewed_count from marts.rpt_ed_audit_themes",
    )
    assert {row[:3]: row[3:] for row in themes.iter_rows()} == {
        (*place, theme): (c.themes[theme], c.issues, c.reviewed)
        for place, c in expected.items()
        for theme in questions()["theme"].answers
    }


def test_the_page_counts_the_same(demo_settings: Settings) -> None:
    for hospital in sorted(path.stem for path in demo_settings.chart_audit.glob("*.sqlite")):
        with opened_store(demo_settings, hospital) as store:
            for quarter in QUARTERS:
                own = store.findings(quarter)
                (found,) = query(
                    demo_settings.warehouse,
                    "select coalesce(sum(reviewed_count), 0), coalesce(sum(issue_count), 0) "
                    f"from marts.rpt_ed_audits_quarterly where hospital_key = '{hospital}' "
                    f"and quarter_on = date '{quarter}'",
                ).iter_rows()
                assert tuple(map(int, found)) == (own.reviewed_count, own.issue_count)


def test_each_case_leads_to_its_visit(demo_settings: Settings) -> None:
    linked = query(
        demo_settings.warehouse,
        "select count(*) as cases, count(returns.index_visit_key) as known, "
        "count(case when returns.hospital_key <> reviews.hospital_key then 1 end) as elsewhere "
        "from core.fct_chart_reviews as reviews left join core.fct_ed_returns as returns "
        "using (index_visit_key)",
    ).row(0)
    assert 0 < linked[1] < linked[0]
    assert linked[2] == 0


def test_a_hospital_has_its_own_findings_and_the_network_none(demo_settings: Settings) -> None:
    tables = query(
        demo_settings.published / "current.duckdb", "select table_name from duckdb_tables()"
    )
    assert [name for name in tables["table_name"] if "audit" in name] == []
    for directory in sorted(demo_settings.operational.iterdir()):
        own = query(
            directory / "current.duckdb",
            "select quarter_on, reviewed_count, issue_count from own.rpt_ed_audits_quarterly",
        )
        mart = query(
            demo_settings.warehouse,
            "select quarter_on, reviewed_count, issue_count from marts.rpt_ed_audits_quarterly "
            f"where hospital_key = '{directory.name}' order by all",
        )
        assert own.equals(mart)
        themes = query(directory / "current.duckdb", "select * from own.rpt_ed_audit_themes")
        assert themes.height == own.height * len(questions()["theme"].answers)


def test_the_reviews_are_reconciled_like_any_other_rows(demo_settings: Settings) -> None:
    checks = query(
        demo_settings.warehouse,
        "select table_name, source_count, lake_count, is_equal from quality.rpt_reconciliation "
        "where source_name = 'chart_audit' and check_code = 'row_count' order by 1",
    )
    assert checks["table_name"].to_list() == ["case_reviews", "review_answers"]
    assert checks["is_equal"].all()
    assert (checks["source_count"] == checks["lake_count"]).all()
    assert checks["lake_count"].min() > 0
