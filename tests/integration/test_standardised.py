"""The reference in published files, a hospital's ratios to it, and what the page says of them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import pytest
from streamlit.testing.v1 import AppTest

from extract.lake import sha256_of
from governance.settings import PROJECT_ROOT, Settings
from ops.publication.publish import publish
from tests.helpers.reported import write as write_report
from tests.helpers.small_warehouse import HEADLINE, HOSPITALS, write_record
from tests.oracle.standardised import Visit, observed_and_expected

pytestmark = pytest.mark.integration

HALF = dt.date(2024, 7, 1)
REFERENCE = "select * from main.rpt_ed_reference_strata order by all"
RATIOS = "select * from own.rpt_ed_standardised_ratios order by all"


@pytest.fixture
def settings(published_once: Settings) -> Settings:
    return published_once


def query(path: Path, sql: str) -> list[dict[str, Any]]:
    with duckdb.connect(str(path), read_only=True) as con:
        found = con.execute(sql)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def own_file(settings: Settings, hospital: str) -> Path:
    return settings.operational / hospital / "current.duckdb"


def publish_again(settings: Settings, *statements: str) -> None:
    with duckdb.connect(str(settings.warehouse)) as con:
        for sql in statements:
            con.execute(sql)
    write_record(settings.home)
    publish(settings)


def test_ratios_are_those_of_single_visits(settings: Settings) -> None:
    """Every index visit written out, the reference summed by another hand, in fractions."""
    counts = query(
        settings.warehouse,
        f"select * from marts.rpt_ed_returns_by_stratum where period_on = '{HALF}'",
    )
    visits = [
        Visit(row["hospital_key"], row["stratum_code"], number < row["numerator_count"])
        for row in counts
        for number in range(row["index_visits_count"])
    ]
    network = settings.published / "current.duckdb"
    members = {
        row["hospital_key"]
        for row in query(
            network,
            "select hospital_key from rpt_ed_returns_half_yearly where numerator_count is not null "
            f"and period_on = '{HALF}' and measure_code = '{HEADLINE}'",
        )
    }
    reference = [row for row in query(network, REFERENCE) if row["period_on"] == HALF]
    assert {row["hospitals_count"] for row in reference} == {len(members)}
    joined = [set(row["stratum_codes"].split(",")) for row in reference]
    assert joined == [{"young"}, {"old", "rest"}]
    assert 2 < len(members) < len(HOSPITALS), "a hidden hospital must be held to it, too"
    for hospital, *_ in HOSPITALS:
        (row,) = [r for r in query(own_file(settings, hospital), RATIOS) if r["period_on"] == HALF]
        observed, expected = observed_and_expected(visits, hospital, members, joined)
        assert row["observed_count"] == observed
        assert row["expected"] == pytest.approx(float(expected), rel=1e-12)
        assert row["ratio"] == pytest.approx(float(observed / expected), rel=1e-12)
        assert row["lower_limit"] <= row["ratio"] <= row["upper_limit"]
        assert (row["strata_count"], row["measure_code"]) == (2, HEADLINE)


def test_the_networks_file_holds_the_reference_and_nobodys_strata(settings: Settings) -> None:
    network = settings.published / "current.duckdb"
    tables = query(network, "select table_name from duckdb_tables()")
    names = {row["table_name"] for row in tables}
    assert "rpt_ed_reference_strata" in names
    assert not names & {"rpt_ed_returns_by_stratum", "rpt_ed_standardised_ratios"}
    shown = query(
        network,
        "select period_on, sum(numerator_count) as returns, sum(index_visits_count) as visits "
        f"from rpt_ed_returns_half_yearly where measure_code = '{HEADLINE}' "
        "and numerator_count is not null group by all order by all",
    )
    sums = query(
        network,
        "select period_on, sum(numerator_count) as returns, sum(index_visits_count) as visits "
        "from rpt_ed_reference_strata group by all order by all",
    )
    assert shown == sums
    assert len(sums) == 3


def test_a_reference_is_never_made_again_and_own_counts_are_todays(settings: Settings) -> None:
    network, own = settings.published / "current.duckdb", own_file(settings, "lakeside")
    before, [*_, last] = query(network, REFERENCE), query(own, RATIOS)
    more = "set numerator_count = numerator_count + 2 where hospital_key = 'lakeside'"
    publish_again(
        settings,
        f"update marts.rpt_ed_returns_by_stratum {more} and stratum_code = 'old'",
        f"update published.rpt_ed_returns_half_yearly {more}",
    )
    assert query(network, REFERENCE) == before
    [*_, again] = query(own, RATIOS)
    assert again["observed_count"] == last["observed_count"] + 2
    assert again["expected"] == last["expected"]


def test_another_definition_or_model_is_held_to_no_former_reference(settings: Settings) -> None:
    own = own_file(settings, "lakeside")
    window = "update published.measure_rules set rule_value = '{}' where rule_code = 'window_hours'"
    age = "update published.standard_strata set maximum_age_years = {} where stratum_code = 'young'"
    publish_again(settings, window.format(48))
    assert query(own, RATIOS) == []
    publish_again(settings, window.format(72), age.format(49))
    # The windows of the other measures are others now; the headline's is what it was.
    assert query(own, RATIOS) == []
    publish_again(settings, age.format(39))
    assert len(query(own, RATIOS)) == 3


def test_a_file_of_an_earlier_version_gets_no_reference_of_what_it_has_shown(
    settings: Settings,
) -> None:
    path = (settings.published / "current.duckdb").resolve()
    digest = sha256_of(path)
    with duckdb.connect(str(path)) as con:
        con.execute("insert into history.publications values (now()::timestamp, $1)", [digest])
        con.execute("drop table history.rpt_ed_reference_strata")
        con.execute("drop table main.rpt_ed_reference_strata")
    assert "There is no reference yet" in page("network")
    publish_again(settings)
    assert query(settings.published / "current.duckdb", REFERENCE) == []
    assert query(own_file(settings, "lakeside"), RATIOS) == []
    assert "There is no reference yet" in page("lakeside")


def page(scope: str) -> str:
    found = AppTest.from_file(
        str(PROJECT_ROOT / "dashboards" / "app_pages" / "ed_returns.py"), default_timeout=30
    )
    found.session_state["scope"] = scope
    found.run()
    assert not found.exception
    said = [element.proto.body for element in found.get("html")]
    return "\n".join([*said, *(str(info.value) for info in found.info)])


def test_page_and_report_show_observed_expected_and_ratio(settings: Settings) -> None:
    [*_, row] = query(own_file(settings, "lakeside"), RATIOS)
    said = page("lakeside")
    table = said.split("Observed and expected returns by half-year</caption>")[1]
    last = table.split("</table>")[0]
    assert f"{row['expected']:,.1f}" in last
    assert f"{row['ratio']:.2f}" in last
    assert f"{row['lower_limit']:.2f} to {row['upper_limit']:.2f}" in last
    assert "ratios of two hospitals are not to be ranked" in said
    assert "Reference of the network" in page("network")
    html, _ = write_report(settings, "lakeside")
    assert f"{row['expected']:,.1f} expected" in html.decode()
