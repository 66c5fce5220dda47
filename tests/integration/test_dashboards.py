"""The pages, run by Streamlit's own test runner on small published files."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest
from streamlit.testing.v1 import AppTest

from dashboards import queries
from dashboards.queries import LATE_DATA, NETWORK, View, find_views
from governance.errors import PublicationError
from governance.settings import PROJECT_ROOT, Settings
from ops.locked_files import open_locked
from ops.publication.definitions import NOT_KEPT
from ops.publication.publish import publish
from ops.serve import serve
from tests.helpers.dashboard import publish_small
from tests.helpers.small_warehouse import ANY_RETURN, HEADLINE, write_record

pytestmark = pytest.mark.integration

H2_2024 = dt.date(2024, 7, 1)
PAGES = ["ed_returns", "ed_flow", "chart_reviews", "claims", "cohorts", "data_quality"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return publish_small(tmp_path_factory.mktemp("dashboards"))


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setenv("SCUTARI_HOME", str(settings.home))


def run(name: str, scope: str | None = None) -> AppTest:
    page = AppTest.from_file(
        str(PROJECT_ROOT / "dashboards" / "app_pages" / f"{name}.py"), default_timeout=30
    ).run()
    if scope is not None:
        page.selectbox(key="scope_selector").select(scope).run()
    assert not page.exception
    return page


def words(page: AppTest) -> str:
    """All the page says, HTML included."""
    found = [element.proto.body for element in page.get("html")]
    for kind in ("markdown", "caption", "info", "error", "success", "title", "header"):
        found += [str(element.value) for element in page.get(kind)]
    return "\n".join(found)


def choose(page: AppTest, label: str, value: str) -> AppTest:
    box = next(box for box in page.selectbox if box.label == label)
    box.select(value).run()
    assert not page.exception
    return page


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scope", [None, "mill_valley"])
def test_page_draws_in_both_views(name: str, scope: str | None) -> None:
    page = run(name, scope)
    said = words(page)
    assert "Synthetic data." in said
    assert "20250210T031500Z" in said
    assert "05 Feb 2025 04:00 UTC" in said
    assert ("Sign-in comes" in said) is (scope is not None)


def test_real_data_have_no_banner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_small(tmp_path, is_synthetic=False)
    monkeypatch.setenv("SCUTARI_HOME", str(tmp_path))
    assert "Synthetic" not in words(run("ed_returns"))


@pytest.mark.parametrize("name", PAGES)
def test_nothing_published_says_what_to_do(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCUTARI_HOME", str(tmp_path))
    page = run(name)
    assert page.error[0].value == (
        f"Nothing has been published in {tmp_path / 'published'}: run `make demo` for the "
        "synthetic network, or `scutari run` on your own databases."
    )


def test_a_hospital_sees_how_its_visits_flow() -> None:
    said = words(run("ed_flow", "mill_valley"))
    assert "Left without being seen" in said
    assert ">200 (600)<" in said and ">400 (1,200)<" in said
    assert "Length of stay by how the visit ends" in said
    assert "Each hospital sees its own flow" in words(run("ed_flow"))


def test_network_page_shows_no_small_count_and_says_hidden() -> None:
    page = choose(run("ed_returns"), "Hospital", "harbour")
    said = words(page)
    assert ">hidden</span>" in said
    numbers = [int(cell) for cell in _cells(said)]
    assert not [number for number in numbers if 1 <= number <= 10]


def _cells(html: str) -> list[str]:
    table = html.split("Returns by month</caption>")[1].split("</table>", maxsplit=1)[0]
    parts = [part.split("<")[0] for part in table.split('<td class="n">')[1:]]
    return [part.replace(",", "") for part in parts if part.replace(",", "").isdigit()]


def test_own_page_shows_small_counts_whole() -> None:
    said = words(run("ed_returns", "mill_valley"))
    table = said.split("Returns by month</caption>")[1].split("</table>")[0]
    assert "hidden" not in table
    assert [cell for cell in _cells(said) if 1 <= int(cell) <= 10]


def test_days_until_the_return_are_a_hospitals_own() -> None:
    assert "stands in a hospital's own figures only" in words(run("ed_returns"))
    page = choose(run("ed_returns", "mill_valley"), "Half-year of the index visit", H2_2024)
    said = words(page)
    table = said.split("Returns by day after departure, Jul to Dec 2024</caption>")[1]
    heads = table.split("</thead>")[0]
    for name in ("Waiting and followed", "Died", "Not followed further", "Any return so far"):
        assert name in heads
    assert "the first return or death ends the waiting" in said


@pytest.mark.parametrize("scope", [None, "mill_valley"])
def test_every_view_shows_what_all_hospitals_reviews_found(scope: str | None) -> None:
    said = words(run("ed_returns", scope))
    table = said.split("Findings of all hospitals together, Jul to Dec 2024</caption>")[1]
    rows = {row.split("<")[0].strip("\N{EM DASH} "): row for row in table.split('"row">')[1:]}
    # Eight hospitals with 30 cases each, 12 with an issue; one case of crowding in all.
    issue = rows["Adverse event or quality issue"]
    assert ">96<" in issue and ">240<" in issue and ">40.0 %<" in issue
    assert ">72<" in rows["Care of older patients"]
    crowding = rows["Crowding and processes of the ED"]
    assert "hidden</span>" in crowding and ">1<" not in crowding


def test_a_hidden_series_says_why_and_draws_no_empty_chart() -> None:
    page = choose(run("ed_returns"), "Hospital", "mill_valley")
    assert "which the network does not show" in page.info[0].value


def test_numerator_and_both_denominators_are_named() -> None:
    said = words(run("ed_returns"))
    for name in ("Returns (numerator)", "All ED visits", "Index visits"):
        assert f"<dt>{name}</dt>" in said
    definitions = words(choose(run("ed_returns"), "Measure", ANY_RETURN))
    assert "Any return within 72 h, counted from departure." in definitions


def test_a_measure_says_what_it_leaves_out_and_whether_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = publish_small(tmp_path)
    monkeypatch.setenv("SCUTARI_HOME", str(tmp_path))
    usual = words(choose(run("ed_returns"), "Measure", ANY_RETURN))
    assert "of a known person, with a known outcome." in usual
    assert "All three hold only visits followed for the whole window." in usual
    assert "Left out" not in usual
    assert "Not counted" not in usual
    with duckdb.connect(str(settings.warehouse)) as con:
        con.execute(
            "update published.measures set requires_complete_follow_up = false, "
            "requires_known_outcome = false, index_exclusion_group_code = 'dialysis', "
            f"return_exclusion_group_code = 'suture' where measure_code = '{ANY_RETURN}'"
        )
    write_record(tmp_path)
    publish(settings)
    said = words(choose(run("ed_returns"), "Measure", ANY_RETURN))
    assert "of a known person. Left out: those with a main diagnosis of the group dialysis." in said
    assert "Not counted: returns with a main diagnosis of the group suture." in said
    assert "All three hold every visit, followed for the whole window or not" in said


def test_changing_the_view_does_not_show_the_cached_rows_of_another(settings: Settings) -> None:
    views = find_views(settings)
    own = queries.xmr_series(views["mill_valley"], HEADLINE, "all_visits")
    network = queries.xmr_series(views[NETWORK], HEADLINE, "all_visits")
    other = queries.xmr_series(views["harbour"], HEADLINE, "all_visits")
    assert set(own) == {"mill_valley"}
    assert set(other) == {"harbour"}
    assert all(point["rate"] is not None for point in own["mill_valley"])
    assert all(point["rate"] is None for point in network["mill_valley"])


def test_months_that_changed_are_marked_with_both_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three returns more come late in May: the hospital sees them, the network the first figures.

    Then a publication whose first shown month was another definition's before, of which no rule is
    known, and whose second had two returns fewer.
    """
    settings = publish_small(tmp_path)
    monkeypatch.setenv("SCUTARI_HOME", str(settings.home))
    cell = f"hospital_key = 'lakeside' and measure_code = '{HEADLINE}' and month_on = "
    with duckdb.connect(str(settings.warehouse)) as con:
        con.execute(
            "update marts.rpt_ed_returns_monthly set numerator_count = numerator_count + 3 "
            f"where {cell} '2024-05-01'"
        )
    write_record(settings.home)
    publish(settings)
    own = find_views(settings)["lakeside"]
    (row,) = queries.revisions(own, "lakeside", HEADLINE)
    assert row["month_on"] == dt.date(2024, 5, 1)
    assert row["now_numerator_count"] == row["first_numerator_count"] + 3
    assert row["now_all_visits_count"] == row["first_all_visits_count"]
    assert (row["is_new_series"], row["change"]) == (False, LATE_DATA)
    said = words(run("ed_returns", "lakeside"))
    assert "1 month with figures that are not those first published. Dotted line: late" in said
    assert "Months whose figures have changed" in said
    assert "Dotted line" not in words(run("ed_returns", "mill_valley"))

    shown = settings.published / "current.duckdb"
    assert queries.revisions(find_views(settings)[NETWORK], "lakeside", HEADLINE) == []
    changed = tmp_path / "changed.duckdb"
    shutil.copyfile(shown, changed)
    with duckdb.connect(str(changed)) as con:
        months = con.execute(
            f"select month_on from rpt_ed_returns_monthly where {cell} month_on "
            "and numerator_count is not null order by 1 limit 2"
        ).fetchall()
        con.execute(
            "insert into history.rpt_ed_returns_monthly by name select * replace ("
            "numerator_count - 2 as numerator_count, published_at - interval 1 day as published_at)"
            f" from history.rpt_ed_returns_monthly where {cell} $1",
            months[1],
        )
        con.execute(
            "update main.rpt_ed_returns_monthly set numerator_count = null, suppression_code = "
            f"'frozen_period' where {cell} $1",
            months[0],
        )
        con.execute(
            "update history.rpt_ed_returns_monthly set definition = 'of an earlier version' "
            f"where {cell} $1",
            months[0],
        )
    again = View(NETWORK, str(changed))
    first, second = queries.revisions(again, "lakeside", HEADLINE)
    assert [(first["month_on"],), (second["month_on"],)] == months
    assert (first["is_new_series"], first["change"]) == (True, NOT_KEPT)
    assert (second["is_new_series"], second["change"]) == (False, LATE_DATA)
    assert second["now_numerator_count"] == second["first_numerator_count"] + 2
    assert first["first_numerator_count"] > 10
    assert queries.revisions(again, NETWORK, HEADLINE) == []


def test_view_survives_turning_to_another_page() -> None:
    page = AppTest.from_file(
        str(PROJECT_ROOT / "dashboards" / "app_pages" / "claims.py"), default_timeout=30
    )
    page.session_state["scope"] = "harbour"
    page.run()
    assert page.selectbox(key="scope_selector").value == "harbour"


def test_a_cohorts_definition_is_shown_as_its_file_says_it() -> None:
    page = run("cohorts")
    assert page.code[0].value == "entry: I50\nprior_observation_days: 365"


def test_pmpm_leaves_out_what_was_paid_without_coverage(settings: Settings) -> None:
    view = find_views(settings)[NETWORK]
    payer = queries.payers(view)[0]["payer_key"]
    last = queries.claims_monthly(view, payer)[-1]
    covered = last["paid_amount"] - last["uncovered_paid_amount"]
    assert last["uncovered_paid_amount"] > 0
    table = words(run("claims")).split("Claims by month of service</caption>")[1]
    cells = table.split("<tbody>")[1].split("</tr>")[0]
    assert f">{covered / last['member_months_count']:,.2f}<" in cells
    assert f">{last['paid_amount'] / last['member_months_count']:,.2f}<" not in cells


def test_cohort_flow_hides_a_small_step_and_its_loss() -> None:
    page = choose(run("cohorts"), "Cohort", "heart_failure")
    said = words(page)
    assert "<b>812</b> persons" in said
    assert "is-hidden" in said
    assert "632 persons leave" not in said


def test_data_quality_says_that_all_adds_up_and_hides_small_counts() -> None:
    said = words(run("data_quality"))
    assert "All 6 checks add up" in said
    assert "412,328" in said
    assert ">hidden</span>" in said


def test_text_from_the_data_cannot_be_markup(tmp_path: Path) -> None:
    from dashboards import tables  # noqa: PLC0415

    html = tables.table("a <b>", [tables.text("h<i>", "name")], [{"name": "<script>x</script>"}])
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "<b>" not in html
    assert "<script>" not in tables.flow([tables.Step("<script>", 20, 30)])


def test_pages_do_not_lie_where_streamlit_serves_them_past_every_check() -> None:
    assert not (PROJECT_ROOT / "dashboards" / "pages").exists()
    assert {path.stem for path in (PROJECT_ROOT / "dashboards" / "app_pages").glob("*.py")} == {
        "__init__",
        *PAGES,
    }


def test_a_file_that_is_open_already_can_be_opened_again(settings: Settings) -> None:
    path = find_views(settings)["harbour"].path
    with open_locked(path) as first, open_locked(path) as second:
        for connection in (first, second):
            assert connection.execute("select count(*) from publication").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "select * from read_text('{other}')",
        "select * from read_csv('/etc/passwd')",
        "attach '{other}' as other",
        "copy (select 1) to '{target}'",
        "create table x as select 1",
        "install httpfs",
        "set enable_external_access = true",
        "set allowed_paths = ['{other}']",
    ],
)
def test_locked_connection_reads_nothing_else_and_writes_nothing(
    statement: str, settings: Settings, tmp_path: Path
) -> None:
    views = find_views(settings)
    target = tmp_path / "out.csv"
    with open_locked(views["harbour"].path) as connection:
        filled = statement.format(other=views["mill_valley"].path, target=target)
        with pytest.raises(duckdb.Error):
            connection.execute(filled).fetchall()
        assert connection.execute("select count(*) from publication").fetchall() == [(1,)]
    assert not target.exists()


def test_published_files_can_be_replaced_under_load(tmp_path: Path) -> None:
    settings = publish_small(tmp_path)
    failures: list[BaseException] = []
    seen: set[Any] = set()
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set():
            try:
                view = find_views(settings)[NETWORK]
                seen.add(queries.publication(view)["published_at"])
                assert len(queries.measures(view)) == 6
            except BaseException as error:
                failures.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    reports = [publish(settings) for _ in range(3)]
    last = View(NETWORK, str(reports[-1].network_file.resolve()))
    newest = queries.publication(last)["published_at"]
    is_over.set()
    for reader in readers:
        reader.join()
    assert not failures
    assert len(seen) >= 2
    assert queries.publication(find_views(settings)[NETWORK])["published_at"] == newest


def test_launcher_without_publication_says_one_sentence_and_fails(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dashboards"],
        cwd=PROJECT_ROOT,
        env=os.environ | {"SCUTARI_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f"error: Nothing has been published in {tmp_path / 'published'}: run `make demo` for the "
        "synthetic network, or `scutari run` on your own databases.\n"
    )


def test_taken_port_is_named(settings: Settings) -> None:
    import socket  # noqa: PLC0415

    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PublicationError, match=f"Port {port} .* is taken"):
            serve(settings, port, announce=lambda message: None)
