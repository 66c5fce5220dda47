"""Hospitals' stores against the marts and the hospitals' own files, after a whole night."""

from __future__ import annotations

import numpy as np
import pytest

from chart_audit.codes import questions
from chart_audit.store import opened_store
from governance.settings import Settings
from tests.helpers.pipeline import query
from tests.helpers.reviews import QUARTERS, HalfYear, counted, counted_by_half_year
from tests.privacy.audit_findings import Worlds, protect

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


def closing(period: str) -> str:
    """Ten days after a half-year's end."""
    year = int(period[:4])
    return f"{year}-07-11" if period[5:7] == "01" else f"{year + 1}-01-11"


def test_half_years_count_cases_by_their_first_review(demo_settings: Settings) -> None:
    expected, last = counted_by_half_year(demo_settings.chart_audit)
    found = query(
        demo_settings.warehouse,
        "select hospital_key, cast(period_on as text), finding_code, of_count, found_count, "
        "is_closed from marts.rpt_ed_audits_half_yearly",
    )
    themes = questions()["theme"].answers
    rows = {}
    for (hospital, period), count in expected.items():
        is_closed = last >= closing(period)
        rows[hospital, period, "quality_issue"] = (count.reviewed, count.issues, is_closed)
        for theme in themes:
            rows[hospital, period, theme] = (count.issues, count.themes[theme], is_closed)
    assert {row[:3]: row[3:] for row in found.iter_rows()} == rows
    # Reviews about the turn of a year, of closed half-years and of an open one.
    assert len({period for _, period in expected}) == 3
    assert {is_closed for _, _, is_closed in rows.values()} == {False, True}


def test_the_network_sees_sums_of_closed_half_years_where_they_hide_nothing(
    demo_settings: Settings,
) -> None:
    expected, last = counted_by_half_year(demo_settings.chart_audit)
    closed = sorted({period for _, period in expected if last >= closing(period)})
    hospitals = sorted({hospital for hospital, _ in expected})
    themes = list(questions()["theme"].answers)
    cells = [[expected.get((hospital, p), HalfYear()) for hospital in hospitals] for p in closed]
    worlds = Worlds(
        np.array([[cell.reviewed for cell in row] for row in cells]),
        np.array([[cell.issues for cell in row] for row in cells]),
        np.array([[[cell.themes[theme] for theme in themes] for cell in row] for row in cells]),
    )
    hidden = protect(worlds)
    rows = {}
    for at, period in enumerate(closed):
        issues = None if hidden.issues[at] else int(worlds.issues[at].sum())
        reviewed = None if hidden.reviewed[at] else int(worlds.reviewed[at].sum())
        rows[period, "quality_issue"] = (reviewed, issues)
        for place, theme in enumerate(themes):
            count = int(worlds.themes[at, :, place].sum())
            rows[period, theme] = (issues, None if hidden.themes[at, place] else count)
    found = query(
        demo_settings.published / "current.duckdb",
        "select cast(period_on as text), finding_code, of_count, found_count "
        "from main.rpt_ed_audits_network",
    )
    assert {row[:2]: row[2:] for row in found.iter_rows()} == rows
    assert len(closed) == 2
    assert any(counts[1] for counts in rows.values())


def test_a_hospital_has_its_own_findings_and_the_network_its_sums_alone(
    demo_settings: Settings,
) -> None:
    tables = query(
        demo_settings.published / "current.duckdb", "select table_name from duckdb_tables()"
    )
    named = {name for name in tables["table_name"] if "audit" in name}
    assert named == {"rpt_ed_audits_network"}
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
