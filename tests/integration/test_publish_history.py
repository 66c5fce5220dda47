"""What was published stays published, is never forgotten, and ends up in no free block."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from governance.errors import PublicationError
from governance.settings import Settings
from ops.publication import publish as publish_module
from ops.publication.history import forget_publications
from ops.publication.publish import publish
from tests.helpers.small_warehouse import HEADLINE, build_small_warehouse, write_record

pytestmark = pytest.mark.integration

CELL = f"hospital_key = 'lakeside' and month_on = '2024-05-01' and measure_code = '{HEADLINE}'"
JANUARY = "hospital_key = 'lakeside' and month_on = '2025-01-01'"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that has published once."""
    home = tmp_path_factory.mktemp("template")
    build_small_warehouse(home, is_synthetic=False)
    publish(Settings(home=home))
    return home


@pytest.fixture
def settings(tmp_path: Path, template: Path) -> Settings:
    shutil.copytree(template, tmp_path, symlinks=True, dirs_exist_ok=True)
    write_record(tmp_path)
    return Settings(home=tmp_path)


def current(settings: Settings) -> Path:
    return settings.published / "current.duckdb"


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path), read_only=True) as con:
        return con.execute(sql).fetchall()


def rewrite(settings: Settings, *statements: str) -> None:
    """Let the next build come to other figures."""
    with duckdb.connect(str(settings.warehouse)) as con:
        for sql in statements:
            con.execute(sql)
    write_record(settings.home)


def everything(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    tables = query(path, "select schema_name, table_name from duckdb_tables() order by all")
    return {
        f"{schema}.{table}": query(path, f"from {schema}.{table} order by all")
        for schema, table in tables
        if "publication" not in table
    }


def test_late_corrections_change_nothing_that_is_published_but_a_hospitals_own_file(
    settings: Settings,
) -> None:
    before = everything(current(settings))
    assert query(current(settings), f"select count(*) from rpt_ed_returns_monthly where {CELL}")
    more = "set numerator_count = numerator_count + 3, index_visits_count = index_visits_count + 5"
    rewrite(
        settings,
        f"update published.rpt_ed_returns_monthly {more} where {CELL}",
        f"update marts.rpt_ed_returns_monthly {more} where {CELL}",
        "update published.rpt_ed_returns_half_yearly set numerator_count = numerator_count + 3",
        "update published.rpt_claims_monthly set paid_amount = paid_amount + 50, "
        "denied_claims_count = denied_claims_count - 1 where not is_suppressed",
        "update published.rpt_member_months set member_months_count = member_months_count + 1",
        "update published.rpt_ed_returns_attrition set registrations_count = 10 "
        "+ registrations_count",
        "update published.rpt_cohort_attrition set rule_name = 'a rule that is not shown yet'",
        "update published.rpt_ed_audits_network set found_count = found_count - 1, "
        "finding_name = 'a finding that is not shown yet'",
    )
    report = publish(settings)
    assert everything(current(settings)) == before
    # Nor does a new figure lie in a block of the file that no table uses.
    for words in (b"a rule that is not shown yet", b"a finding that is not shown yet"):
        assert words not in report.network_file.read_bytes()
    sql = f"select numerator_count from {{}}.rpt_ed_returns_monthly where {CELL}"
    own = settings.operational / "lakeside" / "current.duckdb"
    assert query(own, sql.format("own")) == query(settings.warehouse, sql.format("marts"))
    assert query(own, sql.format("own")) != query(own, sql.format("main"))


def test_a_month_is_added_when_it_closes_and_totals_with_it(settings: Settings) -> None:
    total = "select registrations_count from {}.rpt_ed_returns_attrition where step_number = 1"
    [(before,)] = query(current(settings), total.format("main"))
    rewrite(
        settings,
        "update published.rpt_ed_returns_attrition set registrations_count = 120 "
        "where step_number = 1",
        "update published.rpt_ed_returns_monthly set suppression_code = null, is_suppressed = "
        f"false, numerator_count = 40, index_visits_count = 3000, all_visits_count = 4000 "
        f"where {JANUARY}",
    )
    publish(settings)
    january = f"select distinct numerator_count from rpt_ed_returns_monthly where {JANUARY}"
    assert query(current(settings), january) == [(40,)]
    assert before != 120
    assert query(current(settings), total.format("main")) == [(120,)]
    # From now on it is as closed as the others.
    rewrite(
        settings,
        f"update published.rpt_ed_returns_monthly set numerator_count = 41 where {JANUARY}",
    )
    publish(settings)
    assert query(current(settings), january) == [(40,)]


def test_a_half_year_of_chart_reviews_is_added_when_it_closes_and_is_final(
    settings: Settings,
) -> None:
    issues = (
        "select cast(period_on as text), found_count from rpt_ed_audits_network "
        "where finding_code = 'quality_issue' order by 1"
    )
    [(first, count)] = query(current(settings), issues)
    assert (first, count > 32) == ("2024-07-01", True)
    new = "select * replace (date '2025-01-01' as period_on, 77 as found_count)"
    rewrite(
        settings,
        "insert into published.rpt_ed_audits_network by name "
        f"{new} from published.rpt_ed_audits_network where finding_code = 'quality_issue'",
        "update published.rpt_ed_audits_network set found_count = 55 where found_count <> 77",
    )
    publish(settings)
    assert query(current(settings), issues) == [(first, count), ("2025-01-01", 77)]
    # An older snapshot does not show what came after it, and does not forget it.
    taken = "delete from published.rpt_ed_audits_network where period_on = date '2025-01-01'"
    rewrite(settings, f"create table put_by as {taken.replace('delete', 'select *', 1)}", taken)
    publish(settings)
    assert query(current(settings), issues) == [(first, count)]
    rewrite(
        settings,
        "insert into published.rpt_ed_audits_network select * replace (78 as found_count) "
        "from put_by",
    )
    publish(settings)
    assert query(current(settings), issues) == [(first, count), ("2025-01-01", 77)]


def test_a_new_version_of_a_cohort_and_a_new_product_do_not_mix_with_what_was_shown(
    settings: Settings,
) -> None:
    rewrite(
        settings,
        "update published.dim_cohorts set version_number = 2 where cohort_code = 'heart_failure'",
        "update published.rpt_cohort_attrition set persons_count = 990",
        "insert into published.rpt_member_months by name select * replace ('dental' as "
        "product_code) from published.rpt_member_months where payer_key = 'mutual'",
    )
    publish(settings)
    shown = "select distinct persons_count from rpt_cohort_attrition where cohort_code = '{}'"
    assert query(current(settings), shown.format("heart_failure")) == [(990,)]
    assert (990,) not in query(current(settings), shown.format("type_2_diabetes"))
    assert query(
        current(settings),
        "select distinct member_months_count, is_suppressed, suppression_code from "
        "rpt_member_months where product_code = 'dental' and month_on < '2024-09-01'",
    ) == [(None, True, "frozen_period")]


def test_a_hospital_that_left_comes_back_with_what_was_shown_of_it(settings: Settings) -> None:
    before = everything(current(settings))
    rewrite(
        settings,
        "create table kept as from published.rpt_ed_returns_monthly where hospital_key = 'harbour'",
        "delete from published.rpt_ed_returns_monthly where hospital_key = 'harbour'",
    )
    publish(settings)
    left = query(current(settings), "select distinct hospital_key from rpt_ed_returns_monthly")
    assert ("harbour",) not in left
    rewrite(
        settings,
        "insert into published.rpt_ed_returns_monthly select * replace (numerator_count + 1 as "
        "numerator_count) from kept",
        "drop table kept",
    )
    publish(settings)
    assert everything(current(settings)) == before


def test_a_lost_history_is_refused_and_the_way_out_shows_no_closed_period(
    settings: Settings,
) -> None:
    shutil.rmtree(settings.published)
    with pytest.raises(PublicationError, match=r"is missing.*restore the file.*--history-lost"):
        publish(settings)
    assert not current(settings).exists()
    publish(settings, is_history_lost=True)
    for table in ("rpt_ed_returns_monthly", "rpt_ed_returns_half_yearly"):
        assert query(current(settings), f"select count(numerator_count) from {table}") == [(0,)]
    claims = "select count(claims_count), count(billed_amount), bool_and(is_suppressed)"
    assert query(current(settings), f"{claims} from rpt_claims_monthly") == [(0, 0, True)]
    publish(settings)
    assert query(current(settings), f"{claims} from rpt_claims_monthly") == [(0, 0, True)]
    with pytest.raises(PublicationError, match="is not lost"):
        publish(settings, is_history_lost=True)


def test_an_older_publication_in_the_place_of_the_last_is_refused(settings: Settings) -> None:
    older = current(settings).resolve().name
    newer = publish(settings).network_file.name
    current(settings).unlink()
    current(settings).symlink_to(older)
    with pytest.raises(PublicationError, match="is not the last publication"):
        publish(settings)
    current(settings).unlink()
    current(settings).symlink_to(newer)
    assert publish(settings).network_file.exists()


def test_a_changed_publication_is_refused(settings: Settings) -> None:
    with duckdb.connect(str(current(settings).resolve())) as con:
        con.execute("delete from history.rpt_ed_returns_monthly where hospital_key = 'harbour'")
    with pytest.raises(PublicationError, match="is not the last publication"):
        publish(settings)


def test_a_publication_that_kept_no_history_is_not_built_upon(settings: Settings) -> None:
    with duckdb.connect(str(current(settings).resolve())) as con:
        con.execute("drop schema history cascade")
    with pytest.raises(PublicationError, match="did not keep what it had published"):
        publish(settings)
    publish(settings, is_history_lost=True)
    hidden = "select count(numerator_count) from rpt_ed_returns_monthly"
    assert query(current(settings), hidden) == [(0,)]


def test_a_publication_killed_between_its_links_is_built_upon(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network's link comes first: what anybody may have read is in the next one's history."""
    real = publish_module._switch
    switched = []

    def killed(path: Path) -> None:
        if switched:
            raise KeyboardInterrupt
        switched.append(path)
        real(path)

    monkeypatch.setattr(publish_module, "_switch", killed)
    shown = "set suppression_code = null, is_suppressed = false, numerator_count = {}"
    update = f"update published.rpt_ed_returns_monthly {shown} where {JANUARY}"
    rewrite(settings, update.format(40))
    with pytest.raises(KeyboardInterrupt):
        publish(settings)
    assert [path.parent for path in switched] == [settings.published]
    monkeypatch.undo()
    rewrite(settings, update.format(41))
    publish(settings)
    january = f"select distinct numerator_count from rpt_ed_returns_monthly where {JANUARY}"
    assert query(current(settings), january) == [(40,)]


def test_only_a_synthetic_installation_forgets(settings: Settings) -> None:
    with pytest.raises(PublicationError, match="is not forgotten"):
        forget_publications(settings)
    assert current(settings).exists()
    synthetic = Settings(home=settings.home, is_synthetic=True)
    forget_publications(synthetic)
    assert not list(settings.published.glob("*.duckdb"))
    assert publish(synthetic).network_file.exists()
